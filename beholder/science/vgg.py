"""`VGG`: torchvision's, part by part and name by name; `features_of`, `head_of` and `initialised`.

The same network again because importing any of torchvision imports all of it, detection and video
included, which takes as long as importing torch. Tests hold the two equal.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from beholder.layers import LAYERS

_POOLED = 7  # places a side of what the classifier takes
_SPREAD = 0.01  # standard deviation of a linear layer's first weights
_HIDDEN, _CLASSES = 4096, 1000


class VGG(nn.Module):
    """Features, average pooling and classifier: pictures (B, 3, H, W) to logits (B, classes)."""

    def __init__(
        self, features: nn.Sequential, avgpool: nn.AdaptiveAvgPool2d, classifier: nn.Sequential
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool = avgpool
        self.classifier = classifier

    def forward(self, pictures: Tensor) -> Tensor:
        """The logits."""
        maps = self.avgpool(self.features(pictures))  # (B, C, side, side)
        logits: Tensor = self.classifier(torch.flatten(maps, 1))
        return logits


def features_of(table: Sequence[int | str]) -> nn.Sequential:
    """The modules of torchvision's configuration list: convolutions' widths, "M" for a pool."""
    modules: list[nn.Module] = []
    incoming = 3
    for entry in table:
        if isinstance(entry, str):
            modules.append(nn.MaxPool2d(kernel_size=2, stride=2))
        else:
            modules += [nn.Conv2d(incoming, entry, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
            incoming = entry
    return nn.Sequential(*modules)


def head_of(shapes: Sequence[tuple[int, int]]) -> nn.Sequential:
    """torchvision's classifier: linear layers of (inputs, outputs), ReLU and dropout between."""
    modules: list[nn.Module] = []
    for inputs, outputs in shapes[:-1]:
        modules += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True), nn.Dropout(0.5)]
    return nn.Sequential(*modules, nn.Linear(*shapes[-1]))


def initialised() -> VGG:
    """VGG19 as torchvision's constructor leaves it: the same random numbers in the same order.

    Weights of convolutions are He's (arXiv 1502.01852), by what they give; biases are zero.
    """
    table: list[str | int] = [
        "M" if one.kind == "pool" else one.channels for one in LAYERS if one.kind != "relu"
    ]
    features = features_of(table)
    inputs = LAYERS[-1].channels * _POOLED**2
    head = head_of([(inputs, _HIDDEN), (_HIDDEN, _HIDDEN), (_HIDDEN, _CLASSES)])
    module = VGG(features, nn.AdaptiveAvgPool2d((_POOLED, _POOLED)), head)
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0.0, _SPREAD)
        if isinstance(part, nn.Conv2d | nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
    return module
