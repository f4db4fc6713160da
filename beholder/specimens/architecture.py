"""The narrow VGG19: `build` makes it, with or without batch norm; `fold` takes batch norm away.

Layer for layer it is torchvision's VGG19 at a quarter of the width, with global average pooling
and one linear layer, so that it takes pictures of any size.
"""

from itertools import pairwise
from typing import cast

import torch
from torch import nn
from torchvision.models.vgg import VGG, cfgs, make_layers

WIDTH_DIVISOR = 4
TABLE: list[str | int] = [v if isinstance(v, str) else v // WIDTH_DIVISOR for v in cfgs["E"]]
CHANNELS = 128  # of the last convolution


def build(classes: int, *, batch_norm: bool) -> VGG:
    """The network, freshly initialised from torch's global generator; (B, 3, H, W) to logits."""
    features = make_layers(TABLE, batch_norm=batch_norm)
    # VGG makes the wide classifier first, which is not kept: half a second and many random numbers.
    # A network to be trained draws them all the same, so that seeds keep their meaning.
    with torch.device("cpu" if batch_norm else "meta"):
        network = VGG(features, init_weights=False)
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier = nn.Sequential(nn.Linear(CHANNELS, classes))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.03  # averages over the sizes that batches take in turn
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def fold(trained: VGG) -> VGG:
    """The same function as `trained` in evaluation mode, with batch norm inside the convolutions.

    The result has torchvision's plain VGG19 indices and is in evaluation mode.
    """
    classes = cast(nn.Linear, trained.classifier[0]).out_features
    plain = build(classes, batch_norm=False).eval()
    layers = list(trained.features)
    norms = [(a, b) for a, b in pairwise(layers) if _is_pair(a, b)]
    targets = [layer for layer in plain.features if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        for (conv, norm), target in zip(norms, targets, strict=True):
            _fold_pair(cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, norm), target)
    plain.classifier.load_state_dict(trained.classifier.state_dict())
    return plain


def _is_pair(first: nn.Module, second: nn.Module) -> bool:
    return isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d)


def _fold_pair(conv: nn.Conv2d, norm: nn.BatchNorm2d, target: nn.Conv2d) -> None:
    """target(x) = norm(conv(x)), with the running statistics; computed in float64."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None or conv.bias is None or target.bias is None:
        raise ValueError("Folding needs running statistics and convolutions with a bias.")
    gain = norm.weight.double() / (variance.double() + norm.eps).sqrt()  # (C,)
    target.weight.copy_(conv.weight.double() * gain[:, None, None, None])
    target.bias.copy_((conv.bias.double() - mean.double()) * gain + norm.bias.double())
