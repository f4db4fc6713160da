"""VGG19's 37 layers as a table, what each sees of the one before, and the parser of their names.

`LAYERS[i]` is torchvision's `vgg19().features[i]`. `find_layer` reads one layer ("conv5_1", "28"),
`parse_layers` a selection ("all", "10-20", "conv4_1,relu5_4", "kind:pool"). `side_after` leads to
the next map, `seen_by` back to the one before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from beholder.errors import InvalidChannel, InvalidLayer

LayerKind = Literal["conv", "relu", "pool"]

# Configuration E of Simonyan & Zisserman 2014 (arXiv 1409.1556): channels of each block's convs.
_BLOCKS: tuple[tuple[int, int], ...] = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))


@dataclass(frozen=True)
class Layer:
    """One module of `features`.

    `channels` are the full-width network's. `stride` is the distance in input pixels between two
    neighbouring values of the layer's map, `receptive_field` the side in input pixels that one
    value sees.
    """

    index: int
    name: str
    kind: LayerKind
    channels: int
    stride: int
    receptive_field: int


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbouring places of a map along one of its sides: `first` and on, `end` not among them."""

    first: int
    end: int

    def __len__(self) -> int:
        return self.end - self.first


def side_after(kind: LayerKind, side: int) -> int:
    """How many places a map has along a side, if the map before it has `side`."""
    return side // 2 if kind == "pool" else side  # a pool passes over an odd last row


def seen_by(kind: LayerKind, span: Span, side: int) -> Span:
    """The places of the map before, `side` long, that decide on `span` of a layer's map.

    What a convolution pads with beyond the map's ends is not among them.
    """
    if kind == "conv":
        return Span(max(span.first - 1, 0), min(span.end + 1, side))
    return Span(2 * span.first, 2 * span.end) if kind == "pool" else span


def _table() -> tuple[Layer, ...]:
    layers: list[Layer] = []
    stride, field = 1, 1

    def add(name: str, kind: LayerKind, channels: int) -> None:
        layers.append(Layer(len(layers), name, kind, channels, stride, field))

    for block, (channels, convs) in enumerate(_BLOCKS, start=1):
        for conv in range(1, convs + 1):
            field += 2 * stride  # a 3x3 kernel adds one neighbour on each side
            add(f"conv{block}_{conv}", "conv", channels)
            add(f"relu{block}_{conv}", "relu", channels)
        field += stride  # a 2x2 window adds one neighbour
        stride *= 2
        add(f"pool{block}", "pool", channels)
    return tuple(layers)


LAYERS: tuple[Layer, ...] = _table()
MAX_DIGITS = 9  # of a number that anyone means; Python refuses to read some thousands
MAX_RANGES = 1_000
LAST_LAYER = len(LAYERS) - 1
_BY_NAME = {layer.name: layer for layer in LAYERS}


def find_layer(text: str | int) -> Layer:
    """The layer of an index (28, "28") or a name ("conv5_1").

    Raises InvalidLayer, with the nearest names, when there is none.
    """
    word = str(text).strip().lower()
    if word in _BY_NAME:
        return _BY_NAME[word]
    if is_number(word) and int(word) <= LAST_LAYER:
        return LAYERS[int(word)]
    near = get_close_matches(word[:40], _BY_NAME, n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise InvalidLayer(
        f"no layer {str(text).strip()[:40]!r}: layers are 0-{LAST_LAYER} or names from conv1_1 "
        f"to pool5.{hint} `beholder layers` lists them."
    )


def relu_of(layer: int) -> int:
    """The layer at whose output `layer`'s channels are ablated: a convolution's in-place ReLU.

    ReLUs and pools are their own. Raises InvalidLayer.
    """
    return find_layer(layer).index + (find_layer(layer).kind == "conv")


def is_number(text: str) -> bool:
    """Whether `text` is a whole number, of no more digits than anyone means."""
    return text.isdecimal() and len(text) <= MAX_DIGITS


def parse_layers(text: str) -> tuple[int, ...]:
    """The indices of a selection, each once, in the order written.

    "all", single layers, ranges with both ends included ("10-20", "conv4_1-pool4"), kinds
    ("kind:conv"), and any of these joined by commas.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        found.update(dict.fromkeys(_part(part.strip())))
    return tuple(found)


def _part(part: str) -> Sequence[int]:
    if part.lower() == "all":
        return range(len(LAYERS))
    if part.lower().startswith("kind:"):
        kind = part[5:].lower()
        if kind not in ("conv", "relu", "pool"):
            raise InvalidLayer(f"no layers of kind {kind[:40]!r}: kinds are conv, relu and pool.")
        return [layer.index for layer in LAYERS if layer.kind == kind]
    if "-" in part:
        first, last = (find_layer(end).index for end in part.split("-", 1))
        if first > last:
            raise InvalidLayer(f"the range {part!r} runs backwards: write {last}-{first}.")
        return range(first, last + 1)
    return [find_layer(part).index]


def parse_channels(
    text: str, check: Callable[[Sequence[int]], None] | None = None
) -> tuple[int, ...]:
    """The channels of "17", "3,17,40" or "0-7", each once, in the order written.

    check: raises InvalidChannel in words of their layer, for a channel that no layer has.
    """
    found: dict[int, None] = {}
    parts = text.split(",")
    if len(parts) > MAX_RANGES:
        raise InvalidChannel(f"channels: write {MAX_RANGES:,} numbers and ranges at most.")
    for part in parts:
        ends = [end.strip() for end in part.split("-", 1)]
        if not all(is_number(end) for end in ends):
            raise InvalidChannel(
                f"channels are whole numbers such as 17, 3,17,40 or 0-7; got {part.strip()[:40]!r}."
            )
        first, last = int(ends[0]), int(ends[-1])
        if first > last:
            raise InvalidChannel(
                f"the range {part.strip()!r} runs backwards: write {last}-{first}."
            )
        if last >= 2**12:
            if check is not None:
                check([last])
            raise InvalidChannel(f"no layer has a channel {last}. `beholder layers` lists them.")
        found.update(dict.fromkeys(range(first, last + 1)))
    return tuple(found)


def numbers_text(numbers: Sequence[int]) -> str:
    """Numbers as the command line takes them: "3", "25,27,30", "0-36"."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def check_channels(
    layer: Layer, channels: Sequence[int], *, width_divisor: int = 1, network: str | None = None
) -> None:
    """Raise InvalidChannel if `layer` lacks one of `channels` in a network of this width.

    network: its name, where what is wrong should name it.
    """
    count = layer.channels // width_divisor
    whose = f" --network {network}" if network else ""
    for channel in channels:
        if not 0 <= channel < count:
            raise InvalidChannel(
                f"{f'on {network}, ' if network else ''}{layer.name} has channels 0-{count - 1}; "
                f"got {channel}. `beholder layers{whose}` lists them."
            )
