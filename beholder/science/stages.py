"""The stages of a prepared network, forward and back: `Conv` with its ReLU, and `Pool`.

`forward` leaves on `kept` what `backward` needs, the last on top. Maps are (B, C, h, w) in
channels_last. A convolution's gradient is a convolution by weights turned round.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_FUSED = "_convolution_pointwise"  # an operation that torch keeps for its compiler


@dataclass(frozen=True)
class Convolution:
    """The weights of a 3x3 convolution, ready to use both ways.

    back: gives the gradient for `front`'s input: channels exchanged, turned by 180 degrees.
    """

    front: Tensor  # (out, in, 3, 3)
    bias: Tensor  # (out,)
    back: Tensor  # (in, out, 3, 3)

    @classmethod
    def of(cls, module: nn.Conv2d, kind: torch.dtype) -> "Convolution":
        """Those of a module, prepared in another type."""
        front = module.weight.detach().to(kind)
        assert module.bias is not None
        bias = module.bias.detach().to(kind)
        return cls(_prepared(front), bias, _prepared(front.flip(2, 3).transpose(0, 1)))


@dataclass(frozen=True)
class Conv:
    """The convolution at `index`, and with `relu` the ReLU after it."""

    index: int
    weights: Convolution
    relu: bool

    @property
    def last(self) -> int:
        """The layer whose maps `forward` gives."""
        return self.index + self.relu

    def forward(self, maps: Tensor, kept: list[Tensor]) -> Tensor:
        """(B, in, h, w) to (B, out, h, w)."""
        kept.append(maps)
        return _convolve(maps, self.weights.front, self.weights.bias, relu=self.relu)

    def without_relu(self, maps: Tensor) -> Tensor:
        """The convolution as it is before its ReLU."""
        return _convolve(maps, self.weights.front, self.weights.bias, relu=False)

    def backward(self, gradient: Tensor, kept: list[Tensor]) -> Tensor:
        """(B, out, h, w), zero where the maps are, to (B, in, h, w)."""
        gradient = _convolve(gradient, self.weights.back, None, relu=False)
        before = kept.pop()
        if self.index == 0:
            return gradient
        # What came in was a ReLU's, or the largest of several: where it is 0, nothing goes back.
        stopped: Tensor = torch.ops.aten.threshold_backward(gradient, before, 0)
        return stopped


@dataclass(frozen=True)
class Pool:
    """The 2x2 maximum at `last`. Gradients of maxima that are 0 have been stopped behind it."""

    last: int

    def forward(self, maps: Tensor, kept: list[Tensor]) -> Tensor:
        """(B, C, h, w) to (B, C, h // 2, w // 2)."""
        pooled, places = F.max_pool2d(maps, 2, 2, return_indices=True)
        kept += [maps, places]
        return pooled

    def backward(self, gradient: Tensor, kept: list[Tensor]) -> Tensor:
        """(B, C, h // 2, w // 2) to (B, C, h, w)."""
        places, maps = kept.pop(), kept.pop()
        spread: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            gradient, maps, [2, 2], [2, 2], [0, 0], [1, 1], False, places
        )
        return spread


def _prepared(weights: Tensor) -> Tensor:
    """`weights` (out, in, 3, 3) in the order that the device's convolution reads them in."""
    weights = weights.contiguous(memory_format=torch.channels_last)
    if _onednn(weights):
        weights = torch.ops.mkldnn._reorder_convolution_weight(weights, [1, 1], [1, 1], [1, 1], 1)
    return weights


def _convolve(maps: Tensor, weights: Tensor, bias: Tensor | None, *, relu: bool) -> Tensor:
    """A padded 3x3 convolution of `maps` (B, in, h, w) by `_prepared` weights: (B, out, h, w)."""
    if not _onednn(maps):
        found = F.conv2d(maps, weights, bias, padding=1)
        return found.relu_() if relu else found
    # What torch.compile makes of a frozen convolution: weights already in blocks, and the ReLU in
    # the same pass. One parallel region instead of three matters most where cores are shared.
    after = "relu" if relu else "none"
    fused: Tensor = torch.ops.mkldnn._convolution_pointwise(
        maps, weights, bias, [1, 1], [1, 1], [1, 1], 1, after, [], ""
    )
    return fused


def _onednn(tensor: Tensor) -> bool:
    """Whether oneDNN's fused convolution is to be had; everything else takes torch's plain one."""
    if tensor.device.type != "cpu" or tensor.dtype == torch.float64:
        return False
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, _FUSED)):  # type: ignore[no-untyped-call]
        return False
    return tensor.dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
