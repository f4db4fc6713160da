"""What a dream's PNG file says of itself: `Provenance`, and `read_provenance` to get at it.

It is JSON in an iTXt chunk named KEY, the same each time the same dream is made: no time, no job,
no folder. docs/provenance.md describes it.
"""

import json
from pathlib import PurePath, PurePosixPath
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from beholder.errors import InvalidSpec, PictureError
from beholder.job_spec import LayerIndex
from beholder.layers import LAYERS
from beholder.networks import WEIGHT_SUFFIXES
from beholder.pictures import DEFAULT_MAX_PIXELS, text_in
from beholder.specs import DreamSpec

KEY = "beholder"
FORMAT = 1
LONGEST = 255  # characters of a name

_MARK = "\N{REPLACEMENT CHARACTER}"


def _printable(text: str) -> str:
    if not text.isprintable():  # it would be the terminal that reads it
        raise ValueError("characters that can't be shown")
    return text


_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Word = Annotated[str, Field(max_length=LONGEST), AfterValidator(_printable)]


class Provenance(BaseModel):
    """Of one dream, after `step` steps; step 0 is a start from noise.

    beholder, torch, pillow: versions. device: what it was computed on. network: a name, of a file
    without its folder. source: the start's name, a picture's file without its folder.
    seed: of a start from noise. frame: of a film, from 0; before_sha256: the file of the dream
    before, which it starts from. spec: of a job of this dream alone, or of a zoom up to it, with
    the precision that it had where "auto" was asked for.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = FORMAT
    beholder: _Word
    torch: _Word
    pillow: _Word
    device: _Word
    precision: _Word
    network: _Word
    network_sha256: _Hash
    source: _Word
    source_sha256: _Hash | None
    seed: int | None
    layer: LayerIndex
    step: int = Field(ge=0)
    frame: int | None = Field(default=None, ge=0)
    before_sha256: _Hash | None = None
    spec: dict[str, Any]

    def text(self) -> str:
        """What goes into the file."""
        values = self.model_dump(mode="json")
        return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def asked(self, network: str | None = None) -> DreamSpec:
        """The spec, on a network that goes by this name here.

        Raises InvalidSpec where it asks for what this version does not know.
        """
        if unknown := sorted(self.spec.keys() - DreamSpec.model_fields.keys()):
            raise InvalidSpec(
                f"beholder {self.beholder} wrote {unknown[0][:40]!r}, which this version has not."
            )
        return DreamSpec.build(**{**self.spec, "network": network or self.network})

    def row(self) -> dict[str, Any]:
        """For a table or JSON, with the layer's name."""
        values = self.model_dump(mode="json")
        spec = values.pop("spec")
        return {**values, "layer_name": LAYERS[self.layer].name, "spec": spec}

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `text` gave. Raises PictureError."""
        try:
            found = cls.model_validate_json(text)
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"])) or "no JSON"
            raise PictureError(
                f'what it says under "{KEY}" can\'t be read ({where}): another program wrote it.'
            ) from None
        if found.format > FORMAT:
            raise PictureError(
                f"a later Beholder ({found.beholder}) wrote it: this one is too old to read it."
            )
        return found


def read_provenance(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Provenance:
    """What a PNG file says. Raises PictureError where it says nothing, or is damaged."""
    text = text_in(data, KEY, max_pixels=max_pixels)
    if text is None:
        raise PictureError(
            f'it says nothing under "{KEY}": only PNG files as a worker wrote them do, not copies '
            "that another program saved."
        )
    return Provenance.parse(text)


def own_spec(
    spec: DreamSpec, *, layer: int, seed: int | None, precision: str, frame: int | None = None
) -> dict[str, Any]:
    """The spec, as JSON, of a job of one of its dreams alone.

    seed: of a start from noise; None for a picture. frame: the last one that is wanted of a zoom.
    """
    asked = spec.model_dump(mode="json")
    start = {"noise": 0} if seed is None else {"noise": 1, "seed": seed}
    if spec.zoom is not None and frame is not None:
        start |= {"frames": max(2, frame + 1)}
    alone = {"layers": [layer], "precision": precision, "network": network_word(spec.network)}
    return {**asked, **start, **alone}


def network_word(name: str) -> str:
    """A network's name, of a file without its folder."""
    return _shown(PurePath(name).name) if is_file_name(name) else name


def source_word(source: str) -> str:
    """A start's name without its folders."""
    return _shown(PurePosixPath(source).name)


def _shown(name: str) -> str:
    return "".join(letter if letter.isprintable() else _MARK for letter in name)[-LONGEST:]


def is_file_name(network: str) -> bool:
    """Whether a network's name is that of a state dict's file."""
    return network.lower().endswith(WEIGHT_SUFFIXES)
