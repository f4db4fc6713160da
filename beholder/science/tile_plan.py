"""How a picture is cut into tiles, and what that costs. Numbers only: `tiles` computes.

The maps of the layer asked for are cut into disjoint rectangles. From each, `seen_by` leads back to
the rectangle of every earlier map that decides on it, down to the picture: no more is computed.
`plan` cuts; `operations` and `peak_bytes` count; `needs_tiles` and `tile_side` decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

from torch import nn

from beholder.layers import LayerKind, Span, seen_by, side_after

FLOAT_BYTES = 4
# A tile goes through the first blocks in bands: their maps are the largest by far, and see little
# beyond their own edges.
BANDS = 6
BLOCKS_IN_BANDS = 2
_TAPS = 9  # of a 3x3 kernel
_LARGEST_SIDE = 4096  # of a tile, in places of a map
_REMEMBERED = 8  # of what each step of a dream asks for again; a plan is megabytes at most
_FAR = 256  # places of a map; no value of a map sees as far


@dataclass(frozen=True, slots=True)
class Step:
    """One module, as far as a plan goes: channels that come in, and that go out."""

    kind: LayerKind
    incoming: int
    outgoing: int


@dataclass(frozen=True)
class Piece:
    """A run of modules on a rectangle. Maps have one rectangle more than there are steps.

    rows, columns: of each map, beginning with what comes in.
    """

    steps: tuple[Step, ...]
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    def padding(self, step: int) -> tuple[int, int, int, int]:
        """Zeros that a convolution needs left, right, above and below: at the map's true edges."""
        return (
            *_missing(self.columns[step], self.columns[step + 1]),
            *_missing(self.rows[step], self.rows[step + 1]),
        )

    def places(self, map_: int) -> int:
        """How many places the map before step `map_` has here."""
        return len(self.rows[map_]) * len(self.columns[map_])

    @cached_property
    def forward(self) -> tuple[int, ...]:
        """Multiply-adds of each step on the way to the layer."""
        return tuple(_taps(step) * self.places(index + 1) for index, step in enumerate(self.steps))

    @cached_property
    def backward(self) -> tuple[int, ...]:
        """Multiply-adds of each step on the way back to the picture."""
        return tuple(_taps(step) * self.places(index) for index, step in enumerate(self.steps))

    @cached_property
    def operations(self) -> int:
        """Multiply-adds of both ways."""
        return sum(self.forward) + sum(self.backward)

    @cached_property
    def kept_bytes(self) -> tuple[int, ...]:
        """What each step leaves for the way back: a ReLU a bit a value, a pool four a window."""
        return tuple(
            kept_bytes(step.kind, step.outgoing * self.places(index + 1)) if remembered else 0
            for index, (step, remembered) in enumerate(
                zip(self.steps, remembers([step.kind for step in self.steps]), strict=True)
            )
        )

    def map_bytes(self, map_: int) -> int:
        """The float32 map before step `map_`."""
        before = self.steps[map_].incoming if map_ < len(self.steps) else self.steps[-1].outgoing
        return FLOAT_BYTES * before * self.places(map_)

    @property
    def largest_maps(self) -> int:
        """Bytes of the two neighbouring maps that take most; one is made of the other."""
        return max(
            (self.map_bytes(map_) + self.map_bytes(map_ + 1) for map_ in range(len(self.steps))),
            default=0,
        )


@dataclass(frozen=True)
class Tile:
    """A rectangle of the layer's map: through the first two blocks band by band, then whole.

    bands: pieces from the picture to the second pool's map, one below the other. rest: from there
    on; without steps when the layer is not behind that pool.
    """

    bands: tuple[Piece, ...]
    rest: Piece

    @property
    def operations(self) -> int:
        """Multiply-adds of both ways."""
        return sum(band.operations for band in self.bands) + self.rest.operations

    @property
    def kept_bytes(self) -> int:
        """What is left for the way back when the layer is reached."""
        return sum(sum(piece.kept_bytes) for piece in (*self.bands, self.rest))

    @property
    def peak_bytes(self) -> int:
        """The most memory at one time, besides pictures, gradients and weights."""
        between = FLOAT_BYTES * self.bands[0].steps[-1].outgoing * self.rest.places(0)
        widest = max(band.largest_maps for band in self.bands)
        return self.kept_bytes + max(between + widest, self.rest.largest_maps)


def steps_of(features: Sequence[nn.Module]) -> tuple[Step, ...]:
    """The modules of a VGG's `features`, or of its first ones, as a plan sees them."""
    steps: list[Step] = []
    channels = 3
    for module in features:
        if isinstance(module, nn.Conv2d):
            steps.append(Step("conv", module.in_channels, module.out_channels))
            channels = module.out_channels
        else:
            kind: LayerKind = "pool" if isinstance(module, nn.MaxPool2d) else "relu"
            steps.append(Step(kind, channels, channels))
    return tuple(steps)


def remembers(kinds: Sequence[LayerKind]) -> tuple[bool, ...]:
    """Which steps of a piece leave something for the way back.

    A pool leaves which of its four places won, if any was above zero. A ReLU before a pool needs
    leave nothing then, nor one that is the last, whose gradient is zero where its map is.
    """
    return tuple(
        kind == "pool" or (kind == "relu" and "conv" in kinds[index + 1 : index + 2])
        for index, kind in enumerate(kinds)
    )


def kept_bytes(kind: LayerKind, values: int) -> int:
    """What a step of so many values behind it leaves for the way back, where it is remembered."""
    return -(-values // 8) if kind == "relu" else -(-values // 2)


@lru_cache(maxsize=_REMEMBERED)
def plan(steps: tuple[Step, ...], height: int, width: int, tile: int) -> tuple[Tile, ...]:
    """The tiles of a picture, row by row; none of more than `tile` places of the map a side."""
    down, across = _sides(steps, height), _sides(steps, width)
    return tuple(
        _tile(steps, down, across, rows, columns)
        for rows in _cut(Span(0, down[-1]), tile)
        for columns in _cut(Span(0, across[-1]), tile)
    )


def head_depth(steps: Sequence[Step]) -> int:
    """How many steps go in bands: to the second pool, or all if there is none."""
    ends = [index + 1 for index, step in enumerate(steps) if step.kind == "pool"]
    return [*ends, *[len(steps)] * BLOCKS_IN_BANDS][BLOCKS_IN_BANDS - 1]


def operations(steps: tuple[Step, ...], height: int, width: int, tile: int | None = None) -> int:
    """Multiply-adds of one gradient, in tiles or, without `tile`, of the whole picture."""
    if tile is None:
        return _whole(steps, height, width).operations
    return sum(each.operations for each in plan(steps, height, width, tile))


@lru_cache(maxsize=_REMEMBERED)
def needs_tiles(steps: tuple[Step, ...], height: int, width: int, budget_bytes: int) -> bool:
    """Whether one whole picture's gradient takes more than `budget_bytes`, besides its pixels.

    Counted for a way that keeps every convolution's input, as autograd does.
    """
    whole = _whole(steps, height, width)
    kept = sum(whole.map_bytes(i) for i, step in enumerate(steps) if step.kind != "relu")
    return kept + max(map(whole.map_bytes, range(len(steps) + 1))) > budget_bytes


@lru_cache(maxsize=_REMEMBERED)
def tile_side(steps: tuple[Step, ...], budget_bytes: int) -> int:
    """The largest tile, in places of the map, whose gradient takes at most `budget_bytes`.

    At least 1, whatever the budget. The larger a tile, the less is computed twice.
    """
    fits, too_large = 1, _LARGEST_SIDE
    while too_large - fits > 1:
        side = (fits + too_large) // 2
        if _inner_tile(steps, side).peak_bytes <= budget_bytes:
            fits = side
        else:
            too_large = side
    return fits


def _inner_tile(steps: tuple[Step, ...], side: int) -> Tile:
    """A tile that is far from every edge of its picture: the most costly kind."""
    pools = [step.kind for step in steps].count("pool")
    sides = _sides(steps, (side + 2 * _FAR) << pools)
    span = Span(_FAR, _FAR + side)
    return _tile(steps, sides, sides, span, span)


def _tile(
    steps: tuple[Step, ...],
    down: Sequence[int],
    across: Sequence[int],
    rows: Span,
    columns: Span,
) -> Tile:
    head = head_depth(steps)
    rest = _piece(steps[head:], down[head:], across[head:], rows, columns)
    seen, wide = rest.rows[0], rest.columns[0]
    bands = _cut(seen, -(-len(seen) // BANDS))
    return Tile(tuple(_piece(steps[:head], down, across, band, wide) for band in bands), rest)


def _whole(steps: tuple[Step, ...], height: int, width: int) -> Piece:
    down, across = _sides(steps, height), _sides(steps, width)
    rows, columns = (tuple(Span(0, side) for side in sides) for sides in (down, across))
    return Piece(steps, rows, columns)


def _sides(steps: Sequence[Step], side: int) -> tuple[int, ...]:
    sides = [side]
    for step in steps:
        sides.append(side_after(step.kind, sides[-1]))
    return tuple(sides)


def _piece(
    steps: tuple[Step, ...],
    down: Sequence[int],
    across: Sequence[int],
    rows: Span,
    columns: Span,
) -> Piece:
    """The piece that ends with `rows` and `columns`. down, across: sides of the whole maps."""
    return Piece(steps, _traced(steps, down, rows), _traced(steps, across, columns))


def _traced(steps: tuple[Step, ...], sides: Sequence[int], span: Span) -> tuple[Span, ...]:
    spans = [span]
    for step, side in zip(reversed(steps), reversed(sides[: len(steps)]), strict=True):
        spans.append(seen_by(step.kind, spans[-1], side))
    return tuple(reversed(spans))


def _cut(span: Span, longest: int) -> list[Span]:
    """`span` in as few parts as may be, of nearly the same length."""
    parts = -(-len(span) // longest)
    edges = [span.first + len(span) * part // parts for part in range(parts + 1)]
    return [Span(first, end) for first, end in pairwise(edges)]


def _missing(before: Span, after: Span) -> tuple[int, int]:
    """How many places a convolution's `after` lacks at either end of `before`."""
    return before.first - (after.first - 1), after.end + 1 - before.end


def _taps(step: Step) -> int:
    return _TAPS * step.incoming * step.outgoing if step.kind == "conv" else 0
