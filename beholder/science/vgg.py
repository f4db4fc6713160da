"""`VGG`: torchvision's, part by part and name by name, and `features_of` a table of widths.

The same network again because importing any of torchvision imports all of it, detection and video
included, which takes as long as importing torch. A test holds the two equal.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


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
