"""Who makes the gallery's pictures: ours, lucent and Horama, each a function of channel and steps.

All have the built-in network, a layer and a channel's mean, and are otherwise as they come, but
that none normalises pixels, since this network was not trained so. lucent has its own transforms
and colours; Horama's MACO fetches ImageNet's magnitudes from elsewhere, and is given ours instead.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from beholder.science.feature import feature
from beholder.science.maco import DECAY, maco
from beholder.science.networks import Network, load_network
from beholder.science.response import channel
from beholder.science.spectrum import natural_scale
from beholder.science.transforms import Crop, Views

MACO_SIDE = 1.5  # times as large as its views

# A channel's picture (1, 3, H, W) in [0, 1], after so many steps, for a seed.
Make = Callable[[int, int, int], Tensor]


@dataclass(frozen=True)
class Setting:
    """What all sides share. size: pixels a side of what the network is shown."""

    network: Network
    layer: int
    size: int

    @property
    def large(self) -> int:
        """Pixels a side of MACO's pictures, of which crops are shown."""
        return round(self.size * MACO_SIDE)


@dataclass(frozen=True)
class Side:
    """Who makes pictures, with what package, in what manner, and how."""

    name: str
    package: str
    about: str
    make: Make


def sides(setting: Setting) -> Iterator[Side]:
    """Ours and theirs in pairs; the other's packages are imported when they are first run."""
    yield Side("feature", "beholder", "`feature` with its defaults", _feature(setting))
    yield Side("lucent", "torch-lucent", "`render_vis` with its defaults", _lucent(setting))
    yield Side("maco", "beholder", "`maco`, 2 crops a step", _maco(setting))
    yield Side("horama", "horama", "its `maco`, 2 crops a step", _horama(setting))


def _feature(setting: Setting) -> Make:
    def make(number: int, steps: int, seed: int) -> Tensor:
        return feature(
            setting.network,
            channel(number),
            layer=setting.layer,
            seeds=(seed,),
            steps=steps,
            size=setting.size,
        ).pictures

    return make


def _maco(setting: Setting) -> Make:
    views = Views((Crop(0.45, 0.7),), 2, (setting.size, setting.size), "mirror", 0.05)

    def make(number: int, steps: int, seed: int) -> Tensor:
        return maco(
            setting.network,
            channel(number),
            layer=setting.layer,
            seeds=(seed,),
            steps=steps,
            size=setting.large,
            views=views,
        ).pictures

    return make


def _lucent(setting: Setting) -> Make:
    theirs = load_network(setting.network.name).module  # it hooks it

    def make(number: int, steps: int, seed: int) -> Tensor:
        render = import_module("lucent.optvis.render")
        parameters = import_module("lucent.optvis.param")
        _seed(seed)
        try:
            found = render.render_vis(
                theirs,
                f"features_{setting.layer}:{number}",
                param_f=lambda: parameters.image(setting.size),
                thresholds=(steps,),
                preprocess=False,
                progress=False,
                show_image=False,
            )
        finally:
            for part in theirs.modules():
                part._forward_hooks.clear()  # the next call would run them too
        return torch.from_numpy(found[-1]).permute(0, 3, 1, 2)

    return make


def _horama(setting: Setting) -> Make:
    module = setting.network.module
    # As cheap as can be for it: only the layers that are needed, with frozen weights.
    front = module.features[: setting.layer + 2]

    def make(number: int, steps: int, seed: int) -> Tensor:
        theirs = import_module("horama.maco_fv")
        _seed(seed)
        with _folder_with(theirs.MACO_SPECTRUM_FILENAME, setting.large), _quiet():
            found, _ = theirs.maco(
                lambda pictures: front(pictures)[:, number].mean(),
                total_steps=steps,
                image_size=setting.large,
                model_input_size=setting.size,
                values_range=(0.0, 1.0),
                crops_per_iteration=2,
                box_size=(0.45, 0.7),
                device="cpu",
            )
        made: Tensor = found.detach()[None]
        return made

    return make


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        yield


@contextlib.contextmanager
def _folder_with(name: str, size: int) -> Iterator[None]:
    """A working folder that has the magnitudes, which it would fetch."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        scale = natural_scale(size, size, DECAY).float().expand(3, -1, -1).numpy()
        np.save(Path(folder, name), scale)
        yield
