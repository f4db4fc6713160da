"""The front of a network, laid out for speed: pictures forward to a layer, and a gradient back.

`Prefix` gives what the modules and autograd would, within rounding, for less: weights are frozen,
so only the maps before convolutions and the pools' places are kept; a convolution's gradient is
itself a convolution, with weights turned round once; tensors are channels_last. `stages` has both.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from beholder.errors import NoSuchPrecision
from beholder.layers import LAYERS
from beholder.science.stages import Conv, Convolution, Pool
from beholder.science.vgg import VGG

Precision = Literal["exact", "float64", "float32", "tf32", "bf16"]

# glibc keeps freed blocks up to this size; larger ones come back as fresh pages, each a fault.
_REUSED_BYTES = 32 * 2**20


def kind_of(precision: Precision) -> torch.dtype:
    """The type of maps in this precision."""
    kinds = {"bf16": torch.bfloat16, "float64": torch.float64}
    return kinds.get(precision, torch.float32)


class Zeroing:
    """A forward hook that zeroes `channels` (C,) int64 of maps (B, C, h, w)."""

    def __init__(self, channels: Tensor) -> None:
        self.channels = channels

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], maps: Tensor) -> Tensor:
        if torch.is_grad_enabled():  # a ReLU's stored output must not change before backward
            return maps.index_fill(1, self.channels, 0.0)
        return maps.index_fill_(1, self.channels, 0.0)


def check_precision(precision: str, device: torch.device) -> None:
    """Raise NoSuchPrecision for one that the device does not have."""
    if precision == "tf32" and device.type != "cuda":
        raise NoSuchPrecision(
            f"precision: tf32 needs a CUDA GPU, not {device}; write float32 or bf16."
        )


def prefix_of(module: VGG, device: torch.device, precision: Precision) -> "Prefix | None":
    """A network's layers, prepared once; None where its own modules are to be run.

    They are for "exact", and for hooks other than `Zeroing`. Raises NoSuchPrecision for one that
    the device does not have.
    """
    if precision == "exact":
        return None
    check_precision(precision, device)
    zeroed: dict[int, list[Tensor]] = {}
    for index, part in enumerate(module.features):
        for hook in part._forward_hooks.values():
            if not isinstance(hook, Zeroing):
                return None
            zeroed.setdefault(index, []).append(hook.channels)
        if part._forward_pre_hooks:
            return None
    kind = kind_of(precision)
    key = tuple((weight.data_ptr(), weight._version) for weight in module.features.parameters())
    known = _PREPARED.setdefault(module, {})
    if kind not in known or known[kind].key != key:
        known[kind] = _Weights(module.features, kind, key)
    return Prefix(known[kind], device, precision, zeroed)


@contextmanager
def arithmetic(device: torch.device, precision: Precision) -> Iterator[None]:
    """No gradients; and what cuDNN may round: it takes tf32 for float32 unless told not to."""
    with torch.no_grad():
        if device.type != "cuda":
            yield
            return
        before = _rounding()
        kind = "tf32" if precision == "tf32" else "ieee"
        _round(kind, kind, None if before[2] is None else precision == "tf32")
        try:
            yield
        finally:
            _round(*before)


def _rounding() -> tuple[str, str, bool | None]:
    """What cuDNN makes of float32: in convolutions, in recurrent networks, by the older switch.

    Torch lets that switch be read only where all three agree; None where they don't.
    """
    cudnn: Any = torch.backends.cudnn
    try:
        older = cudnn.allow_tf32
    except RuntimeError:
        older = None
    return cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, older


def _round(convolutions: str, recurrent: str, older: bool | None) -> None:
    cudnn: Any = torch.backends.cudnn
    if older is not None:
        cudnn.allow_tf32 = older  # before the others, which it sets too
    cudnn.conv.fp32_precision = convolutions
    cudnn.rnn.fp32_precision = recurrent


class Prefix:
    """The layers of one network in one precision. Get it with `prefix_of`.

    float32 is as near to the true gradient as autograd's; tf32 rounds what a GPU multiplies to 10
    bits of fraction; bf16 keeps maps and their gradients with 7, and norms in float32; float64 is
    slow, and the same dream everywhere. On a CPU no result depends on what else is in the batch.
    """

    def __init__(
        self,
        weights: "_Weights",
        device: torch.device,
        precision: Precision,
        zeroed: dict[int, list[Tensor]],
    ) -> None:
        self._weights = weights
        self._device = device
        self._precision = precision
        self._zeroed = zeroed

    def gradient(
        self, pictures: Tensor, depth: int | Sequence[int], channels: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Each picture's norm (B,) behind `depth` modules, and its gradient (B, 3, H, W).

        pictures: as the first layer takes them. depth: or one a picture, the deepest first, none
        between a convolution and its ReLU. channels: (C,) int64, the maps that count; None takes
        all. A picture whose maps are all zero has gradient zero; the norm of one that
        holds an infinity or NaN is NaN.
        """
        depths = [depth] * len(pictures) if isinstance(depth, int) else list(depth)
        found, first = [], 0
        with self._arithmetic():
            for piece in self.pieces(pictures):
                own = depths[first : first + len(piece)]
                found.append(self._gradient(piece, own, channels))
                first += len(piece)
            norms, gradients = (torch.cat(parts) for parts in zip(*found, strict=True))
            # A fused ReLU makes 0 of NaN, which would hide it.
            sound = pictures.isfinite().flatten(1).all(dim=1)
        return torch.where(sound, norms, torch.nan), gradients

    def pieces(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """`pictures` in batches that are best worked on one by one.

        On a CPU a few pictures, whose maps find their memory again; on a GPU all of them.
        """
        if self._device.type != "cpu":
            return (pictures,)
        width = self._weights.convolution(0).bias.numel()
        largest = width * pictures.shape[2:].numel() * self._weights.kind.itemsize
        return torch.split(pictures, max(1, _REUSED_BYTES // largest))

    def pieces_onward(self, maps: Tensor) -> tuple[Tensor, ...]:
        """As `pieces`, of maps (B, C, h, w) behind a pool."""
        if self._device.type != "cpu":
            return (maps,)
        largest = 2 * maps[0].numel() * self._weights.kind.itemsize  # a block doubles at most
        return torch.split(maps, max(1, _REUSED_BYTES // largest))

    def walk(self, pictures: Tensor, *, raw: bool = False) -> Iterator[tuple[int, Tensor]]:
        """(layer index, maps (B, C, h, w)) of `pictures`, layer after layer, in channels_last.

        raw: convolutions come too, as they are before their ReLUs.
        """
        return self.onward(-1, pictures, raw=raw)

    def onward(
        self, layer: int, maps: Tensor, *, raw: bool = False
    ) -> Iterator[tuple[int, Tensor]]:
        """The rest of a walk, from the maps (B, C, h, w) that it gave of `layer`, a pool."""
        maps = self.entry(maps)
        for stage in self._weights.stages(len(LAYERS)):
            if stage.last <= layer:
                continue
            if raw and isinstance(stage, Conv):
                with self._arithmetic():
                    maps = self._without(stage.index, stage.without_relu(maps))
                yield stage.index, maps
                maps = self._without(stage.last, maps.relu())
            else:
                with self._arithmetic():
                    maps = self._forward(stage, maps, [])
            yield stage.last, maps

    def entry(self, pictures: Tensor) -> Tensor:
        """`pictures` (B, 3, H, W), or later maps, as a stage takes them."""
        return pictures.to(self._weights.kind).contiguous(memory_format=torch.channels_last)

    def answers(
        self, pictures: Tensor, asked: Mapping[int, Callable[[Tensor], tuple[Tensor, Tensor]]]
    ) -> tuple[Tensor, Tensor]:
        """The sum (B,) of what is asked of maps, and its gradient (B, 3, H, W) for pictures.

        asked: by how many modules lead to the maps (B, C, h, w); gives each picture's value (B,)
        and its gradient for the maps, zero where the maps' ReLU lets none through.
        """
        kept: list[Tensor] = []
        values: list[Tensor] = []
        sent: dict[int, Tensor] = {}  # by depth, what comes back from those who ask
        for depth, maps in self.at(pictures, asked, kept):
            value, gradient = asked[depth](maps)
            values.append(value)
            sent[depth] = gradient.to(maps.dtype).contiguous(memory_format=torch.channels_last)
        del maps
        gradient = torch.zeros(())
        for stage in reversed(self._weights.stages(max(asked))):
            # Those of the convolution itself too, whose gradient its ReLU does not stop.
            raw = isinstance(stage, Conv) and stage.relu
            for depth in range(stage.last + 1 - raw, stage.last + 2):
                if depth in sent:
                    gradient = gradient + sent[depth] if gradient.ndim else sent[depth]
            gradient = self.back(stage, gradient, kept)
        value = torch.stack(values).sum(dim=0)
        return value, gradient.to(value.dtype)

    def at(
        self, pictures: Tensor, depths: Collection[int], kept: list[Tensor] | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """(depth, maps (B, C, h, w)) for each of `depths`, which are how many modules lead there.

        A convolution's own maps are those before its ReLU. kept: see `through`.
        """
        kept = [] if kept is None else kept
        maps = self.entry(pictures)
        for stage in self._weights.stages(max(depths)):
            if isinstance(stage, Conv) and stage.relu and stage.index + 1 in depths:
                kept.append(maps)
                maps = self._without(stage.index, self.sums(stage, maps))
                yield stage.index + 1, maps
                maps = self._without(stage.last, maps.relu())
            else:
                maps = self.through(stage, maps, kept)
            if stage.last + 1 in depths:
                yield stage.last + 1, maps

    def stages(self, depth: int = len(LAYERS)) -> list[Conv | Pool]:
        """Those of `depth` modules, for who goes through: `entry`, then each with `through`."""
        return self._weights.stages(depth)

    def through(self, stage: Conv | Pool, maps: Tensor, kept: list[Tensor] | None = None) -> Tensor:
        """The maps behind a stage. kept: gets what `back` needs."""
        with self._arithmetic():
            return self._forward(stage, maps, [] if kept is None else kept)

    def back(self, stage: Conv | Pool, gradient: Tensor, kept: list[Tensor]) -> Tensor:
        """From the gradient for a stage's maps, which is zero where they are, to that before it.

        What comes is zero where the maps before it are. Takes from `kept` what `through` put there.
        A zeroed channel's gradient is made zero, in place.
        """
        gradient = self._without(stage.last, gradient)
        if isinstance(stage, Conv):
            gradient = self._without(stage.index, gradient)
        with self._arithmetic():
            return stage.backward(gradient, kept)

    def sums(self, stage: Conv, maps: Tensor) -> Tensor:
        """A convolution's sums of `maps`, which are linear in them; `rectified` goes on."""
        with self._arithmetic():
            return stage.without_relu(maps)

    def rectified(self, stage: Conv, sums: Tensor) -> Tensor:
        """`sums`, changed in place to the maps behind their stage."""
        return self._without(stage.last, self._without(stage.index, sums.relu_()))

    def _gradient(
        self, pictures: Tensor, depths: list[int], channels: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Those of pictures whose depths come in descending order: the last leave first."""
        kept: list[Tensor] = []
        left: dict[int, tuple[Tensor, Tensor]] = {}  # by the stage's last layer
        maps = self.entry(pictures)
        stages = self._weights.stages(max(depths, default=1))
        for stage in stages:
            maps = self._forward(stage, maps, kept)
            going = sum(depth > stage.last + 1 for depth in depths)
            if going < len(maps) or stage is stages[-1]:
                left[stage.last] = _of_norms(maps[going:], channels)
                maps = maps[:going]
        del maps
        norms, gradient = left.pop(stages[-1].last)
        for stage in reversed(stages):
            if stage.last in left:
                norm, more = left.pop(stage.last)
                norms, gradient = torch.cat([norms, norm]), torch.cat([gradient, more])
            gradient = stage.backward(gradient, kept)
        return norms, gradient.to(norms.dtype)

    def _arithmetic(self) -> AbstractContextManager[None]:
        return arithmetic(self._device, self._precision)

    def _forward(self, stage: Conv | Pool, maps: Tensor, kept: list[Tensor]) -> Tensor:
        maps = stage.forward(maps, kept)
        if isinstance(stage, Conv) and stage.relu:
            maps = self._without(stage.index, maps)  # zero before the ReLU is zero behind it
        return self._without(stage.last, maps)

    def _without(self, layer: int, maps: Tensor) -> Tensor:
        """`maps` with the layer's zeroed channels; gradients stop there as at any other zero."""
        for channels in self._zeroed.get(layer, ()):
            maps.index_fill_(1, channels, 0.0)
        return maps


class _Weights:
    """Every convolution's weights, prepared when they are first needed.

    key: tells whether the network's own have been changed since.
    """

    def __init__(
        self, features: nn.Sequential, kind: torch.dtype, key: tuple[tuple[int, int], ...]
    ) -> None:
        self.key = key
        self.kind = kind
        self._features = features
        self._convolutions: dict[int, Convolution] = {}

    def stages(self, depth: int) -> list[Conv | Pool]:
        """The first `depth` modules; a ReLU is part of the convolution before it."""
        stages: list[Conv | Pool] = []
        for layer in LAYERS[:depth]:
            if layer.kind == "pool":
                stages.append(Pool(layer.index))
            elif layer.kind == "conv":
                weights = self.convolution(layer.index)
                stages.append(Conv(layer.index, weights, relu=layer.index + 1 < depth))
        return stages

    def convolution(self, index: int) -> Convolution:
        if index not in self._convolutions:
            module = self._features[index]
            assert isinstance(module, nn.Conv2d)
            self._convolutions[index] = Convolution.of(module, self.kind)
        return self._convolutions[index]


# By module, so that they go when the network goes.
_PREPARED: WeakKeyDictionary[VGG, dict[torch.dtype, _Weights]] = WeakKeyDictionary()


def _of_norms(maps: Tensor, channels: Tensor | None) -> tuple[Tensor, Tensor]:
    """The norm of each picture's maps (B, C, h, w), and its gradient for the maps: they by it."""
    if channels is not None:
        counted = torch.zeros(maps.shape[1], dtype=maps.dtype, device=maps.device)
        maps = maps * counted.index_fill_(0, channels, 1.0).view(1, -1, 1, 1)
    rows = maps.permute(0, 2, 3, 1).flatten(1)  # as they lie in memory
    kind = torch.promote_types(maps.dtype, torch.float32)
    norms = torch.linalg.vector_norm(rows, dim=1, dtype=kind)
    factor = torch.where(norms == 0, 0.0, 1 / norms)
    return norms, maps * factor.to(maps.dtype).view(-1, 1, 1, 1)
