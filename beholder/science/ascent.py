"""`Ascent`: the L2 norm of a layer's maps and its gradient for pictures, whole or tile by tile."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from beholder.layers import find_layer
from beholder.science.inputs import input_step
from beholder.science.networks import Network, channel_index, depth_of
from beholder.science.prefix import Precision, Prefix, arithmetic, kind_of, prefix_of
from beholder.science.tile_plan import FLOAT_BYTES, Step, needs_tiles, steps_of, tile_side
from beholder.science.tile_room import tile_room
from beholder.science.tiles import tiled_gradient

MEMORY = 2**30  # bytes that a picture's maps may take before it goes tile by tile


@dataclass(frozen=True)
class Ascent:
    """The way from pictures to a layer's norm and back, and which of its channels count.

    features: the modules that lead to the layer. channels: (C,) int64; None is all. prefix: None
    where the modules themselves are to be run. memory: bytes that a picture's maps may take.
    depths: how many modules lead to each picture's own layer, as `Prefix.gradient` takes them; None
    is `features` for all.
    """

    network: Network
    features: nn.Sequential
    channels: Tensor | None
    normalize: bool
    precision: Precision
    prefix: Prefix | None
    memory: int
    depths: tuple[int, ...] | None = None

    @classmethod
    def of(
        cls,
        network: Network,
        layer: int | str,
        channels: Sequence[int] | None,
        *,
        normalize: bool,
        pre_relu: bool,
        precision: Precision,
        memory: int,
    ) -> "Ascent":
        """That of a layer, read as `dream` reads it. Raises InvalidLayer, InvalidChannel,
        InvalidSpec.
        """
        row = find_layer(layer)
        return cls(
            network,
            network.module.features[: depth_of(row, pre_relu=pre_relu)],
            None if channels is None else channel_index(network, row, channels),
            normalize,
            precision,
            prefix_of(network.module, network.device, precision),
            memory,
        )

    def __call__(
        self, pictures: Tensor, on_share: Callable[[float], None] | None
    ) -> tuple[Tensor, Tensor]:
        """Each picture's norm (B,), and its gradient (B, 3, H, W).

        on_share: called with how much of a large picture's gradient is done.
        """
        prepare = input_step(self.normalize, self.network.device)
        if self.prefix is None:
            with arithmetic(self.network.device, "float32"):
                return _by_autograd(self.features, prepare, pictures, self.channels)
        height, width = pictures.shape[2:]
        if self.in_tiles(height, width):
            tile = tile_side(self._steps, self._room(height, width))
            with arithmetic(self.network.device, self.precision):
                return tiled_gradient(
                    list(self.features),
                    pictures,
                    channels=self.channels,
                    prepare=prepare,
                    tile=tile,
                    kind=kind_of(self.precision),
                    on_progress=on_share,
                )
        with torch.enable_grad():
            pictures = pictures.detach().requires_grad_()
            ready = prepare(pictures)
        depths = self.depths or len(self.features)
        norms, gradient = self.prefix.gradient(ready.detach(), depths, self.channels)
        if ready is not pictures:
            (gradient,) = torch.autograd.grad(ready, pictures, gradient)
        return norms, gradient

    def in_tiles(self, height: int, width: int) -> bool:
        """Whether a picture of this size is too large to be looked at whole."""
        if self.prefix is None:
            return False
        return needs_tiles(self._steps, height, width, self._budget)

    @cached_property
    def _steps(self) -> tuple[Step, ...]:
        return steps_of(list(self.features))

    def _room(self, height: int, width: int) -> int:
        """For a tile, in bytes of float32 maps."""
        if self.network.device.type != "cpu":
            return self._budget
        weights = sum(weight.nbytes for weight in self.network.module.parameters())
        return self._in_floats(min(self.memory, tile_room(height, width, weights)))

    @property
    def _budget(self) -> int:
        return self._in_floats(self.memory)

    def _in_floats(self, budget: int) -> int:
        """Bytes of this precision's maps, as those of float32 maps."""
        return budget * FLOAT_BYTES // max(FLOAT_BYTES, kind_of(self.precision).itemsize)


@torch.enable_grad()
def _by_autograd(
    features: nn.Sequential,
    prepare: Callable[[Tensor], Tensor],
    pictures: Tensor,
    channels: Tensor | None,
) -> tuple[Tensor, Tensor]:
    pictures = pictures.detach().requires_grad_()
    maps = features(prepare(pictures))  # (B, C, h, w)
    if channels is not None:
        maps = maps.index_select(1, channels)
    norms = torch.linalg.vector_norm(maps.flatten(1), dim=1)  # (B,)
    # The norms' sum, not the batch's norm: a picture's gradient must not know its neighbours.
    (gradient,) = torch.autograd.grad(norms.sum(), pictures)
    return norms.detach(), gradient
