"""`JobSpec`: what DreamSpec and StudySpec share, and their mistakes in words."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from beholder.defaults import DEFAULT_SIZE
from beholder.errors import InvalidSpec
from beholder.layers import LAST_LAYER
from beholder.mistakes import mistake
from beholder.networks import check_network

MIN_SIZE, MAX_SIZE = 32, 8192  # five 2x2 pools need 32 pixels a side
MAX_WHOLE_SIZE = 2048  # pixels a side of what can't go tile by tile: maps of some 6 GiB
MAX_ITEMS = 10_000_000  # of one job: each is a row, and a short request can ask for trillions
STORED = "stored"  # in a validation's context: see `JobSpec.stored`
LayerIndex = Annotated[int, Field(ge=0, le=LAST_LAYER)]
Size = int | Literal["keep"]


class JobSpec(BaseModel):
    """What both kinds of job share.

    network: a name that `beholder networks` lists, or a state dict's path.
    size: side in pixels of the centre crop, or "keep" for the picture's own size.
    normalize: subtract ImageNet's mean and divide by its deviation before the first layer.
    pre_relu: read a convolution before its in-place ReLU; the published method reads it after.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str = "vgg19"
    size: Size = DEFAULT_SIZE
    normalize: bool = False
    pre_relu: bool = False

    @field_validator("size", mode="before")
    @classmethod
    def _fits(cls, size: object) -> object:
        if size == "keep" or (type(size) is int and MIN_SIZE <= size <= MAX_SIZE):
            return size
        raise ValueError(
            f'size: {MIN_SIZE} to {MAX_SIZE} pixels, or "keep" for the picture\'s own; '
            f"got {_shown(size)}"
        )

    @field_validator("network")
    @classmethod
    def _known_network(cls, name: str) -> str:
        return check_network(name)

    @classmethod
    def build(cls, /, **fields: Any) -> Self:
        """The spec of these fields. Raises InvalidInput with every mistake on one line."""
        return cls._made(fields, {})

    @classmethod
    def stored(cls, fields: dict[str, Any]) -> Self:
        """The spec of fields that were stored: what does not go together was refused before.

        A version that refuses more still reads the jobs of those that did not.
        """
        return cls._made(fields, {STORED: True})

    @classmethod
    def _made(cls, fields: dict[str, Any], context: dict[str, bool]) -> Self:
        try:
            return cls.model_validate(fields, context=context)
        except ValidationError as error:
            raise InvalidSpec(_sentence(error, cls.model_fields)) from None


def _sentence(error: ValidationError, known: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(_clause(detail, known) for detail in error.errors()))


def _clause(detail: Any, known: Iterable[str]) -> str:
    where = str(detail["loc"][0]) if detail["loc"] else ""
    cause = detail.get("ctx", {}).get("error")
    if detail["type"] == "value_error" and cause is not None:
        return str(cause)
    message = mistake(detail, known)
    if not where:
        return message
    given = "" if detail["type"] == "extra_forbidden" else f"; got {_shown(detail['input'])}"
    return f"{where}: {message}{given}"


def _shown(given: object) -> str:
    try:
        return repr(given)[:80]
    except ValueError:  # a number of more digits than Python writes
        return "a number of thousands of digits"
