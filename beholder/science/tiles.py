"""The gradient of a picture too large to be looked at whole: tile by tile, and still exact.

`tiled_gradient` gives what the whole picture would, within float32 rounding. `tile_plan` says why a
tile needs no more than it computes. One pass is enough: the gradient of a norm is the gradient of
half its square, divided by the norm, and both sums are taken along the way.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from beholder.heap import give_back
from beholder.science.tile_memory import Stack, halve, pack, whole, zero_where_not
from beholder.science.tile_plan import (
    Piece,
    Tile,
    kept_bytes,
    operations,
    plan,
    remembers,
    steps_of,
)

_ROWS = 16  # worked on at once where an operation is not a convolution
_NONE_WON = 4  # added to a 2x2 window's place, 0 to 3, where nothing in it is above 0


def tiled_gradient(
    features: Sequence[nn.Module],
    pictures: Tensor,
    *,
    channels: Tensor | None,
    prepare: Callable[[Tensor], Tensor],
    tile: int,
    kind: torch.dtype | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Each picture's norm (B,) of what `features` make of it, and its gradient (B, 3, H, W).

    features: a VGG's first modules, on the pictures' device; hooks that zero channels count.
    channels: (C,) int64, those that the norm is of; None takes all. prepare: what happens to each
    pixel before. tile: its side, in places of the last map; `tile_plan.tile_side` fits it to a
    budget. kind: the maps' type; the pictures' own, unless given. on_progress: called after every
    few operations with the share that is done, up to 1; what it raises ends the work. Pictures go
    through one by one; a silent one has gradient 0.
    """
    steps = steps_of(features)
    height, width = pictures.shape[2:]
    total = operations(steps, height, width, tile) * len(pictures)
    tiles = plan(steps, height, width, tile)
    kept = Stack.of(max(each.kept_bytes for each in tiles), pictures)
    run = _Run(
        tuple(features), channels, prepare, kind or pictures.dtype, kept, _Meter(total, on_progress)
    )
    gradient = torch.zeros_like(pictures, memory_format=torch.contiguous_format)
    squares = torch.zeros(len(pictures), dtype=torch.float64, device=pictures.device)
    with torch.no_grad():
        for row in range(len(pictures)):
            alone = slice(row, row + 1)
            for each in tiles:
                squares[row] += run.add(each, pictures[alone], gradient[alone])
        norms = squares.sqrt().to(pictures.dtype)  # (B,)
        for row, norm in enumerate(norms):
            gradient[row].div_(torch.where(norm == 0, 1, norm))
    return norms, gradient


@dataclass
class _Meter:
    """Tells how much of `total` operations is done."""

    total: int
    on_progress: Callable[[float], None] | None
    done: int = 0

    def add(self, operations: int) -> None:
        self.done += operations
        if operations and self.on_progress is not None:
            self.on_progress(min(1.0, self.done / self.total))


@dataclass(frozen=True)
class _Run:
    """What all tiles have in common."""

    modules: tuple[nn.Module, ...]
    channels: Tensor | None
    prepare: Callable[[Tensor], Tensor]
    kind: torch.dtype
    kept: Stack
    meter: _Meter

    def add(self, tile: Tile, picture: Tensor, gradient: Tensor) -> Tensor:
        """Add the gradient of half the tile's squares to `gradient`; the squares' sum.

        picture, gradient: (1, 3, H, W), whole.
        """
        head = len(tile.bands[0].steps)
        bands = [_Pass(self.modules[:head], each, self.kept, self.meter) for each in tile.bands]
        rest = _Pass(self.modules[head:], tile.rest, self.kept, self.meter, trims=True)
        maps = rest.forward(self._through(bands, picture))
        square, maps = _square(maps, self.channels)
        back = rest.backward(maps)  # (1, C, h, w), for the map between bands and rest
        end = back.shape[2]
        for band in reversed(bands):  # what was kept last is on top
            _trim(picture)
            first = end - len(band.piece.rows[-1])
            part = band.backward(back[:, :, first:end])
            _window(gradient, band.piece).add_(self._prepared_back(picture, band.piece, part))
            end = first
        return square

    def _through(self, bands: Sequence["_Pass"], picture: Tensor) -> Tensor:
        """The map between bands and rest, one below the other as the bands are."""
        found: Tensor | None = None
        first = 0
        for band in bands:
            _trim(picture)
            maps = band.forward(_laid_out(self.prepare(_window(picture, band.piece)).to(self.kind)))
            if found is None:
                height = sum(len(each.piece.rows[-1]) for each in bands)
                found = _empty_like(maps, (1, maps.shape[1], height, maps.shape[3]))
            found[:, :, first : first + maps.shape[2]] = maps
            first += maps.shape[2]
        assert found is not None
        return found

    def _prepared_back(self, picture: Tensor, piece: Piece, gradient: Tensor) -> Tensor:
        """The gradient for raw pixels, from that for what `prepare` made of them."""
        with torch.enable_grad():
            raw = _window(picture, piece).detach().requires_grad_()
            ready = self.prepare(raw)
            (found,) = torch.autograd.grad(ready, raw, gradient.to(ready.dtype))
        return found


@dataclass(frozen=True)
class _Pass:
    """Modules on their way through a piece, and back, leaving on `kept` what that takes.

    trims: give freed memory back as it goes, where maps are large and no two of a size.
    """

    modules: tuple[nn.Module, ...]
    piece: Piece
    kept: Stack
    meter: _Meter
    trims: bool = False

    def forward(self, maps: Tensor) -> Tensor:
        """(1, C, h, w) of the piece's first map to its last; `maps` itself may be overwritten."""
        keeps = remembers([step.kind for step in self.piece.steps])
        for index, (module, keep) in enumerate(zip(self.modules, keeps, strict=True)):
            if isinstance(module, nn.Conv2d):
                if self.trims:
                    _trim(maps)
                ends, both = _split(self.piece.padding(index))
                maps = F.pad(maps, ends) if any(ends) else maps
                maps = F.conv2d(maps, *_weights(module, maps.dtype), padding=both)
                maps = _hooked(module, maps)
            elif isinstance(module, nn.MaxPool2d):
                maps = self._pooled(module, maps)
            else:
                maps = _hooked(module, maps.relu_())
                if keep:
                    pack(_flat(maps), self.kept.push(kept_bytes("relu", maps.numel())))
            self.meter.add(self.piece.forward[index])
        return maps

    def backward(self, gradient: Tensor) -> Tensor:
        """The gradient for the piece's first map, from that for its last."""
        keeps = remembers([step.kind for step in self.piece.steps])
        for index in reversed(range(len(self.modules))):
            module = self.modules[index]
            if isinstance(module, nn.Conv2d):
                if self.trims:
                    _trim(gradient)
                left, right, above, below = self.piece.padding(index)
                ends, both = _split((2 - left, 2 - right, 2 - above, 2 - below))
                gradient = F.pad(gradient, ends) if any(ends) else gradient
                weight, _ = _weights(module, gradient.dtype)
                gradient = F.conv2d(gradient, _turned(weight), padding=both)
            elif isinstance(module, nn.MaxPool2d):
                gradient = _spread(gradient, self.kept.pop())
            elif keeps[index]:
                zero_where_not(_flat(gradient), self.kept.pop())
            self.meter.add(self.piece.backward[index])
        return gradient

    def _pooled(self, module: nn.MaxPool2d, maps: Tensor) -> Tensor:
        """The pool's map; what is kept is each window's first largest place, row by row."""
        batch, channels, height, width = maps.shape
        found = _empty_like(maps, (batch, channels, height // 2, width // 2))
        kept = self.kept.push(kept_bytes("pool", found.numel()))
        for rows in _row_slices(found):
            part = maps[:, :, 2 * rows.start : 2 * rows.stop]
            part, places = F.max_pool2d(part, 2, return_indices=True)
            found[:, :, rows] = part = _hooked(module, part)
            column = places & 1  # a piece's width is even before a pool
            row = places.div_(width, rounding_mode="floor") & 1
            # The ReLU before lets nothing back where nothing is above 0.
            place = column.add_(row, alpha=2).add_(part <= 0, alpha=_NONE_WON).byte()
            halve(_flat(place), kept[_halves(found, rows)])
        return found


def _trim(of: Tensor) -> None:
    if of.is_cpu:
        give_back()  # as much again as is in use: no two of their maps are of a size


def _window(picture: Tensor, piece: Piece) -> Tensor:
    """The part of `picture` (1, 3, H, W) that `piece` begins with; no copy."""
    rows, columns = piece.rows[0], piece.columns[0]
    return picture[:, :, rows.first : rows.end, columns.first : columns.end]


def _laid_out(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)


def _flat(maps: Tensor) -> Tensor:
    """(1, C, h, w) as it lies in memory, (n,); no copy."""
    return maps.permute(0, 2, 3, 1).view(-1)


def _in_shape(flat: Tensor, shape: torch.Size) -> Tensor:
    """The other way round."""
    batch, channels, height, width = shape
    return flat.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _weights(module: nn.Conv2d, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    assert module.bias is not None
    return module.weight.to(kind), module.bias.to(kind)


def _turned(weight: Tensor) -> Tensor:
    """The kernel (in, out, 3, 3) that takes gradients back through `weight` (out, in, 3, 3)."""
    return _laid_out(weight.flip(2, 3).transpose(0, 1))


def _split(padding: tuple[int, int, int, int]) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Padding left, right, above, below as what one end has more, and what both ends of it have.

    The second, (rows, columns), is a convolution's own affair; the first costs a copy.
    """
    left, right, above, below = padding
    across, down = min(left, right), min(above, below)
    return (left - across, right - across, above - down, below - down), (down, across)


def _spread(gradient: Tensor, kept: Tensor) -> Tensor:
    """`gradient` (1, C, h, w) at the places that won, zero at others: (1, C, 2h, 2w)."""
    batch, channels, height, width = gradient.shape
    found = _empty_like(gradient, (batch, channels, 2 * height, 2 * width))
    for rows in _row_slices(gradient):
        part = gradient[:, :, rows]
        won = _in_shape(whole(kept[_halves(gradient, rows)], part.numel()), part.shape)
        for number in range(4):
            windows = found[:, :, 2 * rows.start + number // 2 : 2 * rows.stop : 2, number % 2 :: 2]
            torch.mul(part, won == number, out=windows)
    return found


def _row_slices(maps: Tensor) -> Iterator[slice]:
    """`maps` (1, C, h, w) a few rows at a time: operations on mixed types make copies of one type,
    and small ones stay in the cache.
    """
    height = maps.shape[2]
    for first in range(0, height, _ROWS):
        yield slice(first, min(first + _ROWS, height))


def _halves(maps: Tensor, rows: slice) -> slice:
    """Where the half bytes of such rows of `maps` are; `_ROWS` is even, so that none is split."""
    of_row = maps[:, :, 0].numel()
    return slice(rows.start * of_row // 2, -(-rows.stop * of_row // 2))


def _empty_like(maps: Tensor, shape: tuple[int, int, int, int]) -> Tensor:
    """Uninitialised, channels last."""
    return torch.empty(
        shape, dtype=maps.dtype, device=maps.device, memory_format=torch.channels_last
    )


def _square(maps: Tensor, channels: Tensor | None) -> tuple[Tensor, Tensor]:
    """The maps' squares summed, float64, and the gradient of half the sum: the maps that count."""
    if channels is not None:
        chosen = maps.index_select(1, channels)
        maps = torch.zeros_like(maps).index_copy_(1, channels, chosen)
    rows = maps.permute(0, 2, 3, 1)  # as they lie in memory
    kind = torch.promote_types(maps.dtype, torch.float32)
    return torch.linalg.vector_norm(rows, dtype=kind).double().square(), maps


def _hooked(module: nn.Module, maps: Tensor) -> Tensor:
    """`maps` after the module's hooks. Blinding's hooks zero channels, and what is zero by a hook
    or by itself lets no gradient back, so that nothing more has to be known of them.
    """
    for hook in module._forward_hooks.values():
        changed = hook(module, (maps,), maps)
        maps = maps if changed is None else changed
    return maps
