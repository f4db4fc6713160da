"""Who makes the gallery's pictures: ours, lucent and Horama, each while its `Budget` lasts.

All have the built-in network, a layer and a channel's mean, and are otherwise as they come, but
that none normalises pixels, since this network was not trained so. lucent has its own transforms
and colours; Horama's MACO fetches ImageNet's magnitudes from elsewhere, and is given ours instead.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from beholder.science.checkpoint import Checkpoint
from beholder.science.dream import Dream
from beholder.science.feature import feature
from beholder.science.maco import DECAY, maco
from beholder.science.networks import Network, load_network
from beholder.science.response import channel
from beholder.science.spectrum import natural_scale
from beholder.science.transforms import Crop, Views

NAMES = ("feature", "lucent", "maco", "horama")
MACO_SIDE = 1.5  # times as large as its views
_ENDLESS = 10**9  # steps; the budget ends them


@dataclass
class Budget:
    """Processor seconds of this process for one picture, from when this is made.

    steps: how many have been taken.
    """

    seconds: float
    steps: int = 0
    _begun: float = field(default_factory=time.process_time)

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return time.process_time() - self._begun

    def has_room(self, further: int) -> bool:
        """Whether so many steps more would fit, or all but half of one, as long as those before."""
        after = self.steps + further - 0.5
        return not self.steps or self.spent * after / self.steps < self.seconds

    def through(self, numbers: Sequence[int], **_: object) -> Iterator[int]:
        """In the place of a tqdm of one step: as many as there is time for, then that one."""
        (end,) = numbers
        while self.has_room(2):
            yield -1
            self.steps += 1
        yield end
        self.steps += 1


# A channel's picture (1, 3, H, W) in [0, 1], of as many steps as there is time for, by a seed.
Make = Callable[[int, Budget, int], Tensor]


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
    """Who makes pictures, with what package, in what manner, and how.

    against: whose pictures, of another package, its own are to be better than.
    """

    name: str
    package: str
    about: str
    make: Make
    against: str | None = None


class _TimeIsOver(Exception):
    """Ends a dream of ours."""


def sides(setting: Setting) -> Iterator[Side]:
    """Ours and theirs in pairs; the other's packages are imported when they are first run."""
    views = Views((Crop(0.45, 0.7),), 2, (setting.size, setting.size), "mirror", 0.05)
    of_feature = _ours(setting, feature, size=setting.size)
    of_maco = _ours(setting, maco, size=setting.large, views=views)
    yield Side("feature", "beholder", "`feature` with its defaults", of_feature, against="lucent")
    yield Side("lucent", "torch-lucent", "`render_vis` with its defaults", _lucent(setting))
    yield Side("maco", "beholder", "`maco`, 2 crops a step", of_maco, against="horama")
    yield Side("horama", "horama", "its `maco`, 2 crops a step", _horama(setting))


def _ours(setting: Setting, dreamt: Callable[..., Dream], **more: Any) -> Make:
    """A way of ours, with what it takes besides."""

    def make(number: int, budget: Budget, seed: int) -> Tensor:
        asked = {"layer": setting.layer, "seeds": (seed,), **more}
        return _within(budget, partial(dreamt, setting.network, channel(number), **asked))

    return make


def _within(budget: Budget, dream: Callable[..., Dream]) -> Tensor:
    """What a dream of ours has become when its time is over."""
    found: list[Tensor] = []

    def on_checkpoint(step: int, take: Callable[[], Checkpoint]) -> None:
        budget.steps = step
        if not budget.has_room(1):
            found.append(take().pictures)
            raise _TimeIsOver

    with contextlib.suppress(_TimeIsOver):
        dream(steps=_ENDLESS, on_checkpoint=on_checkpoint)
    return found[0]


def _lucent(setting: Setting) -> Make:
    theirs = load_network(setting.network.name).module  # it hooks it

    def make(number: int, budget: Budget, seed: int) -> Tensor:
        render = import_module("lucent.optvis.render")
        parameters = import_module("lucent.optvis.param")
        _seed(seed)
        try:
            with _as_long_as(budget, render):
                found = render.render_vis(
                    theirs,
                    f"features_{setting.layer}:{number}",
                    param_f=lambda: parameters.image(setting.size),
                    thresholds=(1,),
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

    def make(number: int, budget: Budget, seed: int) -> Tensor:
        theirs = import_module("horama.maco_fv")
        _seed(seed)
        with (
            _folder_with(theirs.MACO_SPECTRUM_FILENAME, setting.large),
            _as_long_as(budget, theirs),
        ):
            found, _ = theirs.maco(
                lambda pictures: front(pictures)[:, number].mean(),
                total_steps=1,
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
def _as_long_as(budget: Budget, module: Any) -> Iterator[None]:
    """Let `module`'s loop over its steps, which is over a tqdm of them, last as the budget does."""
    before = module.tqdm
    module.tqdm = budget.through
    try:
        yield
    finally:
        module.tqdm = before


@contextlib.contextmanager
def _folder_with(name: str, size: int) -> Iterator[None]:
    """A working folder that has the magnitudes, which it would fetch."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        scale = natural_scale(size, size, DECAY).float().expand(3, -1, -1).numpy()
        np.save(Path(folder, name), scale)
        yield
