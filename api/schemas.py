"""What requests say: `NewDream` and `NewStudy`, the same in JSON and in multipart fields."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from api.problems import sentence
from beholder.devices import DEFAULT_DEVICE, Device
from beholder.errors import InvalidInput, InvalidSpec
from beholder.networks import WEIGHT_SUFFIXES, check_network
from beholder.priorities import DEFAULT_PRIORITY, Priority
from beholder.specs import DreamSpec, StudySpec
from beholder.texts import MAX_NAME, folded, plain

EXAMPLE_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
MAX_SOURCE = 500  # letters of what a picture, or its group, is called
MAX_HASHES = 100_000
MAX_ASKED = 1_000  # pictures in a request that looks for each in the store

Name = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(folded)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="A picture's SHA-256, in hex.")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PictureRef(_Body):
    """A picture that is stored already, and what to call it."""

    sha256: Sha256
    source: Annotated[str, Field(max_length=MAX_SOURCE)] = ""
    group: Annotated[str | None, Field(max_length=MAX_SOURCE)] = None


Pictures = Annotated[list[Sha256 | PictureRef], Field(max_length=MAX_HASHES)]


class NewHook(_Body):
    """Whom to tell when the job has ended; with a secret, deliveries are signed."""

    url: Annotated[str, Field(max_length=2000, pattern="^https?://")]
    secret: Annotated[str, Field(max_length=200, pattern=r"^[\x20-\x7e]*$")] = ""


class _NewJob(_Body):
    name: Name = ""
    priority: Priority = DEFAULT_PRIORITY
    device: Device = DEFAULT_DEVICE
    webhook: NewHook | None = None


class NewDream(_NewJob):
    """A dream job. spec: as `DreamSpec`; what is left out has the command line's default."""

    spec: dict[str, Any] = {}
    pictures: Pictures = []


class NewStudy(_NewJob):
    """A study of targets, with siblings and controls beside them. spec: as `StudySpec`."""

    spec: dict[str, Any] = {}
    targets: Pictures = []
    siblings: Pictures = []
    controls: Pictures = []


class Hashes(_Body):
    """Pictures by their SHA-256."""

    sha256: Annotated[list[Sha256], Field(max_length=MAX_ASKED)]


def read_job(model: type[NewDream] | type[NewStudy], text: bytes) -> NewDream | NewStudy:
    """The request in this JSON. Raises InvalidInput with every mistake on one line."""
    try:
        fields = from_json(text)  # a model's own parser would take more than twice the memory
    except ValueError as error:
        raise InvalidInput(f"body: not JSON ({error}).") from None
    return make_job(model, fields)


def make_job(model: type[NewDream] | type[NewStudy], fields: Any) -> NewDream | NewStudy:
    """The same of fields that were sent one by one."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise InvalidInput(body_sentence(error, model)) from None


def body_sentence(error: ValidationError, model: type[BaseModel]) -> str:
    """A model's mistakes on one line."""
    details = [{**detail, "loc": ("body", *detail["loc"])} for detail in error.errors()]
    return sentence(details, model.model_fields)


def read_json(text: bytes, field: str) -> Any:
    """A multipart field that holds JSON, with the limits of `read_job`. Raises InvalidInput."""
    try:
        return from_json(text)
    except ValueError as error:
        raise InvalidInput(f"{field}: not JSON ({error}); write it as -F '{field}={{}}'") from None


def build_spec(kind: str, fields: dict[str, Any], *, network: str) -> DreamSpec | StudySpec:
    """The spec, on the server's own network unless another is named. Raises InvalidInput.

    A path is refused: what lies on the server is no business of its clients.
    """
    named = fields.get("network", network)
    if isinstance(named, str):  # the model says of anything else what it should be
        if "network" in fields and named.lower().endswith(WEIGHT_SUFFIXES):
            raise InvalidSpec(
                "network: over HTTP write vgg19, specimens or random:SEED; a file's path is for "
                "the command line on the server."
            )
        check_remote_network(named)
    model = DreamSpec if kind == "dream" else StudySpec
    return model.build(**{**fields, "network": named})


def check_remote_network(name: str) -> None:
    """Raise InvalidSpec for what names no network, without a word of the server's files."""
    try:
        check_network(name)
    except InvalidSpec:
        raise InvalidSpec(
            f"no network {name[:80]!r}: write vgg19, specimens or random:SEED (random:0)."
        ) from None


def source_of(filename: str) -> str:
    """What to call an uploaded file: its path without "..", as "kelpies/kelpie1.jpg"."""
    short = "/".join(_parts(plain(filename)))[-MAX_SOURCE:]
    return "/".join(_parts(short)) or "picture"  # again: the cut may leave "/" or ".." in front


def _parts(filename: str) -> Iterator[str]:
    for part in filename.replace("\\", "/").split("/"):
        if part.strip() not in ("", ".", ".."):
            yield part.strip()
