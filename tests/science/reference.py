"""The published method, plainly and slowly: one picture, the whole network, one hook a layer.

Written from the description of the experiment, to be compared with `beholder.science`. Outputs are
kept by reference, so that a convolution is read after the in-place ReLU behind it.
"""

from collections import Counter, defaultdict
from contextlib import contextmanager

import torch


@contextmanager
def listening(module):
    """Yield a dict that holds every layer's last output, by index, while inside."""
    outputs = {}

    def keep(index):
        def hook(layer, inputs, output):
            outputs[index] = output

        return hook

    handles = [
        layer.register_forward_hook(keep(index)) for index, layer in enumerate(module.features)
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def dream(module, picture, *, layer, channels=None, steps=30, learning_rate=0.01):
    """Ascend from one picture (3, H, W); returns it (3, H, W) after each step, as a list."""
    current = picture[None].clone()
    history = []
    with listening(module) as outputs:
        for _ in range(steps):
            current.requires_grad_(True)
            current.grad = None
            module(current)
            maps = outputs[layer]
            if channels is not None:
                maps = maps[:, list(channels)]
            maps.norm().backward()
            moved = current.detach() + learning_rate * current.grad
            current = torch.clip(moved, 0.0, 1.0)
            history.append(current[0].clone())
    return history


def strengths(module, picture):
    """The norm of every channel's map, as a list of python lists of scalars, by layer."""
    with torch.no_grad(), listening(module) as outputs:
        module(picture[None])
        return [[channel.norm() for channel in outputs[layer][0]] for layer in range(37)]


def top(norms, n=10, threshold=0.0):
    """Indices of the strongest channels; the higher index wins a tie."""
    pairs = sorted(((float(norm), index) for index, norm in enumerate(norms)), reverse=True)
    return [index for norm, index in pairs[:n] if norm > threshold]


def counts(all_strengths, n=10, threshold=0.0):
    """A Counter a layer: in how many pictures each channel is a top channel."""
    found = defaultdict(Counter)
    for picture in all_strengths:
        for layer, norms in enumerate(picture):
            found[layer].update(top(norms, n, threshold))
    return found


def chosen(found, *, min_layer=20, most_common=5, threshold=4):
    """The channels to blind, by layer."""
    cut = defaultdict(list)
    for layer, counter in found.items():
        if layer < min_layer:
            continue
        for channel, count in counter.most_common(most_common):
            if count < threshold:
                break
            cut[layer].append(channel)
    return dict(cut)


def blind_logits(module, picture, cut):
    """The logits (classes,) of one picture with one zeroing hook for each channel of `cut`."""

    def zero(channel):
        def hook(layer, inputs, output):
            output[:, channel, :, :] = 0.0

        return hook

    handles = [
        module.features[layer].register_forward_hook(zero(channel))
        for layer, channels in cut.items()
        for channel in channels
    ]
    try:
        with torch.no_grad():
            return module(picture[None])[0]
    finally:
        for handle in handles:
            handle.remove()
