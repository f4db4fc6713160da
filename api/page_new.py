"""The forms of new jobs, with fields as people write them: layers by tick, "3, 17, 40"."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Annotated, Any, cast, get_args

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.intake import ROLES, Submission, take_in
from api.multipart import Part, parts
from api.page_new_study import (
    STUDY_CHOICES,
    STUDY_FIELDS,
    STUDY_RECIPES,
    study_of_form,
    study_recipe,
    study_values,
)
from api.page_render import PageRoute, render, see_other, sentence, status_of
from api.page_words import command, layers_words
from api.queueing import wake_workers
from api.schemas import NewDream, NewStudy, check_remote_network
from api.services import Services, services
from beholder.defaults import BUILT_IN_RATE
from beholder.errors import BeholderError, InvalidInput
from beholder.jobs.stock import record_pictures
from beholder.jobs.submit import create_job, noise_entries
from beholder.layers import LAYERS, Layer, is_number, parse_channels
from beholder.networks import NETWORKS, WEIGHT_SUFFIXES, width_divisor
from beholder.precisions import PRECISIONS
from beholder.priorities import DEFAULT_PRIORITY, PRIORITIES, Priority
from beholder.recipes import (
    DEFAULT_RECIPE,
    RECIPES,
    DreamRecipe,
    Gradient,
    Optimiser,
    Parameters,
    Schedule,
    Transforms,
    beside_pictures,
    recipe_defaults,
)
from beholder.specs import DreamSpec, JobKind, Recipe, Spec, StudySpec
from beholder.terms import Plain, number_text

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Opened = Annotated[Services, Depends(services)]

# The article's learning rate by network, as the form proposes it; "" stands for the others.
_RATES = {
    "": number_text(DreamSpec().learning_rate),
    "specimens": number_text(BUILT_IN_RATE),
}
STEPS_KEPT = "5, 10, 20"
_MANY = ("layers",)  # fields that come once for each tick
_TEXT = ("network", "size", "normalize", "pre_relu")
_OF_THE_JOB = ("name", "priority")  # what is not in the spec
_NAMED = ("mask", "guide")  # pictures of a dream's spec
_TICKS: dict[JobKind, tuple[str, ...]] = {
    "dream": ("pre_relu", "keep_colour"),
    "study": ("normalize", "pre_relu", "matrix"),
}
_CHOICES = {  # of a dream's fields
    "measure": get_args(Plain),
    "gradient": get_args(Gradient),
    "optimiser": get_args(Optimiser),
    "schedule": get_args(Schedule),
    "parameters": get_args(Parameters),
    "transforms": get_args(Transforms),
}
FIELDS: dict[JobKind, tuple[str, ...]] = {
    "dream": (
        *_TEXT,
        *_CHOICES,
        *_NAMED,
        "recipe",
        "objective",
        "octaves",
        "octave_scale",
        "jitter",
        "smoothing",
        "keep_colour",
        "blend",
        "steps",
        "learning_rate",
        "snapshots",
        "channels",
        "noise",
        "seed",
        "zoom",
        "frames",
        "carry",
        "precision",
    ),
    "study": (*_TEXT, *STUDY_FIELDS),
}


@dataclass(frozen=True)
class Block:
    """Layers between two pools, for the drawing."""

    index: int
    channels: int
    layers: tuple[Layer, ...]


@dataclass
class _Form:
    """What was sent: text fields, ticked layers, and pictures on their way into the store."""

    submission: Submission
    text: dict[str, str] = field(default_factory=dict)
    layers: list[str] = field(default_factory=list)


@router.get("/new")
def new_dream(
    request: Request, opened: Opened, recipe: DreamRecipe = DEFAULT_RECIPE
) -> HTMLResponse:
    """The form of a dream by a recipe."""
    return _form(request, opened, "dream", recipe=recipe)


@router.get("/new/study")
def new_study(request: Request, opened: Opened, recipe: Recipe = "article") -> HTMLResponse:
    """The form of a study by a recipe."""
    return _form(request, opened, "study", recipe=recipe)


@router.post("/new", response_model=None)
async def make_dream(request: Request, opened: Opened) -> Response:
    """Queue the dream that was asked for, or say what is wrong over the same form."""
    return await _make(request, opened, "dream")


@router.post("/new/study", response_model=None)
async def make_study(request: Request, opened: Opened) -> Response:
    """Queue the study that was asked for, or say what is wrong over the same form."""
    return await _make(request, opened, "study")


async def _make(request: Request, opened: Services, kind: JobKind) -> Response:
    submission = Submission(kind, NewDream() if kind == "dream" else NewStudy())
    form = _Form(submission)
    with submission.entries:
        try:
            await _read(request, opened, form)
            job_id = await run_in_threadpool(_queue, opened, form)
        except BeholderError as error:
            status, _ = status_of(error)
            return _form(request, opened, kind, form=form, problem=sentence(error), status=status)
    answer: RedirectResponse = see_other(f"/jobs/{job_id}")
    answer.background = BackgroundTask(wake_workers, opened)
    return answer


async def _read(request: Request, opened: Services, form: _Form) -> None:
    kind = form.submission.kind
    async for part in parts(request, opened.settings):
        if part.name in ROLES[kind]:
            if part.filename:
                role = ROLES[kind][part.name]
                form.submission.add(await run_in_threadpool(take_in, opened, part, role))
        elif part.name in _NAMED and part.filename is not None:
            if part.filename:
                form.text[part.name] = await run_in_threadpool(_keep, opened, part)
        elif part.name in _MANY:
            form.layers.append(part.text)
        elif part.name in (*_OF_THE_JOB, *FIELDS[kind]):
            form.text[part.name] = part.text.strip()
        del part  # else a file is in memory while the next one comes


def _keep(opened: Services, part: Part) -> str:
    """A picture that the spec names; its hash. Raises InvalidInput for what is none."""
    entry = take_in(opened, part)
    if entry.picture is None:
        raise InvalidInput(f"{part.name}: {entry.error}")
    record_pictures(opened.db, [entry.picture])
    return entry.picture.sha256


def _queue(opened: Services, form: _Form) -> str:
    if form.text.get("network"):
        check_remote_network(form.text["network"])
    pictures = form.submission.entries.total > 0
    spec = spec_of_form(form.submission.kind, form.text, form.layers, pictures=pictures)
    if spec.network.lower().endswith(WEIGHT_SUFFIXES):
        raise InvalidInput("a file of weights is named from the command line, not from here.")
    noise = noise_entries(spec) if isinstance(spec, DreamSpec) else ()
    name = form.text.get("name") or form.submission.name
    entries = chain(form.submission.entries, noise)
    return create_job(opened.db, spec, entries, name=name, priority=_priority(form)).id


def _priority(form: _Form) -> Priority:
    text = form.text.get("priority", DEFAULT_PRIORITY)
    for known in PRIORITIES:
        if text == known:
            return known
    raise InvalidInput(f"priority: {', '.join(PRIORITIES)}; got {text[:40]!r}.")


def spec_of_form(
    kind: JobKind, text: Mapping[str, str], layers: list[str], *, pictures: bool = False
) -> Spec:
    """The spec of a form's fields; empty ones keep their defaults. Raises InvalidInput.

    pictures: whether a dream has any.
    """
    fields: dict[str, Any] = {
        name: value for name, value in text.items() if value and name in FIELDS[kind]
    }
    for name in _TICKS[kind]:
        fields[name] = bool(text.get(name))
    if fields.get("size", "keep") != "keep":
        fields["size"] = _whole("size", fields["size"])
    if kind == "study":
        return study_of_form(fields)
    if "objective" not in fields:
        if not layers:
            raise InvalidInput("layers: choose at least one on the drawing.")
        fields["layers"] = tuple(_whole("layers", layer) for layer in layers)
    if "channels" in fields:
        fields["channels"] = parse_channels(fields["channels"])
    if "snapshots" in fields:
        words = fields["snapshots"].replace(",", " ").split()
        fields["snapshots"] = tuple(sorted({_whole("steps to keep", word) for word in words}))
    return DreamSpec.build(**(beside_pictures(fields) if pictures else fields))


def _whole(name: str, text: str) -> int:
    if not is_number(text):
        raise InvalidInput(f"{name}: a whole number; got {text[:40]!r}.")
    return int(text)


def _form(
    request: Request,
    opened: Services,
    kind: JobKind,
    *,
    form: _Form | None = None,
    recipe: DreamRecipe | Recipe = DEFAULT_RECIPE,
    problem: str = "",
    status: int = 200,
) -> HTMLResponse:
    """The form: empty, or as it was sent but for its files, which a browser does not give back."""
    network = opened.settings.network
    if network.lower().endswith(WEIGHT_SUFFIXES):
        network = "vgg19"
    if form is not None:
        recipe = _recipe(kind, form.text.get("recipe", ""), recipe)
    standard = _standard(kind, network, recipe)
    values = _defaults(standard)
    if form is not None:
        ticks = {name: form.text.get(name, "") for name in _TICKS[kind]}
        chosen = [int(layer) for layer in form.layers if is_number(layer)]
        values |= {**form.text, **ticks, "layers": [layer for layer in chosen if layer < 37]}
        if kind == "study":
            values["min_layer"] = (
                int(values["min_layer"]) if is_number(str(values["min_layer"])) else 20
            )
    return render(
        request,
        "new.html",
        status,
        kind=kind,
        problem=problem,
        values=values,
        blocks=_blocks(width_divisor(values["network"]) or 1),
        priorities=PRIORITIES,
        precisions=PRECISIONS,
        networks=[entry for entry in NETWORKS if entry.name != "PATH"],
        chosen_words=layers_words(values["layers"]) if values.get("layers") else "",
        recipes=(RECIPES if kind == "dream" else STUDY_RECIPES).values(),
        choices=_CHOICES if kind == "dream" else STUDY_CHOICES,
        usual=_usual(standard),
        rates=_RATES if kind == "dream" and recipe == DEFAULT_RECIPE else {},
        command=command(standard),
    )


def _recipe(kind: JobKind, asked: str, otherwise: str) -> DreamRecipe | Recipe:
    if kind == "study":
        return study_recipe(asked)
    return cast(DreamRecipe, asked if asked in RECIPES else otherwise)


def _usual(standard: Spec) -> dict[str, str]:
    """What a dream's recipe sets, as the form writes it."""
    if isinstance(standard, StudySpec):
        return {}
    return {name: _written(value) for name, value in recipe_defaults(standard.recipe).items()}


def _standard(kind: JobKind, network: str, recipe: DreamRecipe | Recipe) -> Spec:
    """The spec of a form that nobody has changed."""
    if kind == "study":
        return StudySpec(network=network, recipe=study_recipe(recipe))
    if recipe != DEFAULT_RECIPE:
        guide = {"guide": "0" * 64} if recipe == "guide" else {}
        return DreamSpec.build(recipe=recipe, network=network, layers=(28,), **guide)
    rate = float(_RATES.get(network, _RATES[""]))
    kept = tuple(int(word) for word in STEPS_KEPT.split(","))
    return DreamSpec(network=network, layers=(28,), learning_rate=rate, snapshots=kept)


def _defaults(spec: Spec) -> dict[str, Any]:
    values: dict[str, Any] = {"name": "", "priority": DEFAULT_PRIORITY, **spec.model_dump()}
    if isinstance(spec, StudySpec):
        values |= study_values(spec)
    if isinstance(spec, DreamSpec):
        values |= {name: _written(value) for name, value in values.items() if value is None}
        # Of pixels the recipe decides, whatever network is written into the form.
        values |= {"channels": "", "objective": "", "normalize": "", "layers": list(spec.layers)}
        if "noise" in recipe_defaults(spec.recipe):  # which only a form without pictures takes
            values["noise"] = ""
        values["snapshots"] = ", ".join(map(str, spec.snapshots))
        for name in ("learning_rate", "octave_scale", "smoothing", "blend"):
            values[name] = _written(getattr(spec, name))
    return values


def _written(value: object) -> str:
    """As a field of the form has it; a tick that is not set is empty."""
    if isinstance(value, float):
        return number_text(value)
    return "" if value in (None, False) else "yes" if value is True else str(value)


def _blocks(divisor: int) -> list[Block]:
    blocks: list[Block] = []
    start = 0
    for end, layer in enumerate(LAYERS, start=1):
        if layer.kind == "pool":
            blocks.append(Block(len(blocks), layer.channels // divisor, LAYERS[start:end]))
            start = end
    return blocks
