"""`/v1/studies/{id}/...`: overlap with another study, dreams of its channels, its evidence and what
is behind it.
"""

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.examples import FEATURES, JOB, OVERLAP, example
from api.problems import responses
from api.queueing import wake_workers
from api.routes.jobs import Job, Opened
from beholder.evidence.stored import read_evidence, read_logits, read_plan
from beholder.jobs.features import queue_features
from beholder.jobs.overlap_queries import overlap
from beholder.jobs.queries import evidence_path, get_job, latest_study, plan_path
from beholder.jobs.views import JobView
from beholder.priorities import Priority
from beholder.recipes import DEFAULT_CHANNEL_RECIPE, NoiseRecipe

router = APIRouter(prefix="/v1/studies", tags=["studies"])
MAX_FEATURES = 1_000
NPZ = "application/octet-stream"
_NPZ: dict[str, Any] = {NPZ: {"schema": {"type": "string", "format": "binary"}}}
_JSON: dict[str, Any] = {
    "application/json": {"schema": {"type": "object"}, "example": {"study": "b7c2d9e4fa"}}
}


def _whole(description: str, content: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The answers of a route that gives a file of a study that has concluded."""
    return {200: {"description": description, "content": content}, **responses(404, 409)}


class NewFeatures(BaseModel):
    """Dreams of which of a study's channels, and how; what is None is the recipe's own."""

    limit: Annotated[int, Field(ge=1, le=MAX_FEATURES)] = 24
    recipe: NoiseRecipe = DEFAULT_CHANNEL_RECIPE
    steps: Annotated[int | None, Field(ge=1, le=100_000)] = None
    learning_rate: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    priority: Priority = "low"


@router.get(
    "/latest",
    response_model=JobView,
    summary="The newest study that has its channels",
    responses={200: example({**JOB, "kind": "study"}), **responses(404)},
)
def latest(opened: Opened) -> JSONResponse:
    """404 while no study has chosen any."""
    return JSONResponse(latest_study(opened.db).row())


@router.get(
    "/{job_id}/overlap",
    summary="Which chosen channels another study shares",
    responses={200: example(OVERLAP), **responses(404, 409)},
)
def study_overlap(
    found: Job,
    opened: Opened,
    other: Annotated[
        str, Query(max_length=500, description="The other study.", examples=["0jx4k2m8qz"])
    ],
) -> JSONResponse:
    """Of ReLU layers, beside what sets of these sizes share by chance. 409 before both chose."""
    second = get_job(opened.db, other)
    return JSONResponse(overlap(opened.db, found, second).row())


@router.post(
    "/{job_id}/features",
    status_code=201,
    summary="Queue dreams of a study's channels",
    responses={201: example(FEATURES), **responses(404, 409)},
)
def features(
    found: Job, asked: NewFeatures, opened: Opened, tasks: BackgroundTasks
) -> JSONResponse:
    """A job a channel, the best first. Channels that have a dream, or wait for one, are left out.

    Asked again, it queues what is lacking. `there`: those left out; `left`: those over the limit.
    """
    made = queue_features(opened.db, found, **asked.model_dump())
    if made.queued:
        tasks.add_task(wake_workers, opened)
    return JSONResponse(made.row(), 201, background=tasks)


@router.get(
    "/{job_id}/evidence",
    response_class=Response,
    summary="What a sound study concluded",
    responses=_whole("The evidence; raw logits are beside it", _JSON),
)
def evidence(found: Job, opened: Opened) -> Response:
    """As `beholder report --json` prints it. 409 says why there is none yet."""
    document = read_evidence(opened.store, found, evidence_path(opened.db, found.id))
    return Response(document.model_dump_json(), media_type="application/json")


@router.get(
    "/{job_id}/logits",
    response_class=Response,
    summary="A sound study's raw logits",
    responses=_whole("A compressed NumPy archive", _NPZ),
)
def logits(found: Job, opened: Opened) -> Response:
    """Arrays `positions`, `intact` and `blinded` of all pictures; the evidence has its SHA-256."""
    data = read_logits(opened.store, found, evidence_path(opened.db, found.id))
    name = f"{found.id}-logits.npz"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type=NPZ, headers=headers)


@router.get(
    "/{job_id}/plan",
    response_class=Response,
    summary="What a sound study has tried",
    responses=_whole("Splits, rankings, and every set of channels", _JSON),
)
def plan(found: Job, opened: Opened) -> Response:
    """As `beholder report --format plan` writes it; the evidence's record has its SHA-256."""
    evidence, planned = evidence_path(opened.db, found.id), plan_path(opened.db, found.id)
    data = read_plan(opened.store, found, evidence, planned)
    return Response(data, media_type="application/json")
