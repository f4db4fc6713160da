"""`python -m benchmarks.gallery`: feature pictures beside lucent's and Horama's, for equal time.

Each side makes a picture of each channel in the processor time given; what it reached is measured
alike, and docs/gallery.md is written anew with its pictures, once all are there. The machine may be
busy: time is the process's own, of one thread, and the sides take turns.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from beholder.layers import LAYERS, find_layer
from beholder.science.caricature import caricature
from beholder.science.inputs import to_image, to_tensor
from beholder.science.networks import load_network
from beholder.science.response import Response
from beholder.science.spectrum import frequencies
from beholder.specimens.draw import draw
from benchmarks.gallery_page import Reached, page
from benchmarks.gallery_sides import NAMES, Budget, Setting, Side, sides

PAGE = Path(__file__).parents[1] / "docs" / "gallery.md"
LAYER = "conv5_1"
# Each the strongest for drawn pictures of one class, by the widest margins to the next class; none
# of them was looked at when the recipes' defaults were chosen. Those were:
CHANNELS = {28: "dots", 91: "grid", 115: "honeycomb", 51: "checks"}
TUNED = (53, 96, 100, 111)
SOURCES = ("star", "honeycomb", "spiral", "scales")  # of caricatures
SECONDS = 30.0  # of processor time a picture
SIZE = 224
HELD_OUT = 24  # transforms that a picture has to stand afterwards
_FAST = 0.25  # waves a pixel: half of the fastest that there is
_QUALITY = 88  # of JPEG


@dataclass
class Made:
    """What one side made: pictures (1, 3, H, W), and each one's steps and processor seconds."""

    side: Side
    pictures: list[Tensor] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, number: int, seconds: float, seed: int) -> None:
        """Make the picture of one more channel."""
        budget = Budget(seconds)
        self.pictures.append(self.side.make(number, budget, seed))
        self.seconds.append(budget.spent)
        self.steps.append(budget.steps)
        said = f"{self.side.name}: channel {number}, {budget.steps} steps, {budget.spent:.1f} s"
        print(said, file=sys.stderr)


def held_out(setting: Setting, pictures: Tensor, channels: Sequence[int]) -> list[float]:
    """Each picture's objective, the mean under transforms that no side has been optimised with.

    Turned, moved, scaled and sheared by torchvision, after 8 bits; where larger than what the
    network is shown, the middle is shown, enlarged by the least that the window allows.
    """
    response = Response.of(setting.network, setting.layer)
    draws = np.random.default_rng(1)
    pictures = (pictures.clamp(0, 1) * 255).round() / 255
    found = []
    for _ in range(HELD_OUT):
        seen = TF.affine(
            pictures,
            angle=float(draws.uniform(-12, 12)),
            translate=[int(moved) for moved in draws.integers(-8, 9, 2)],
            scale=float(draws.uniform(0.88, 1.12)),
            shear=[float(angle) for angle in draws.uniform(-4, 4, 2)],
            interpolation=TF.InterpolationMode.BILINEAR,
            fill=[0.5, 0.5, 0.5],
        )
        maps = response.maps(TF.center_crop(seen, [setting.size, setting.size]))
        found.append([maps[row, number].mean().item() for row, number in enumerate(channels)])
    return [statistics.mean(column) for column in zip(*found, strict=True)]


def fast_share(pictures: Tensor) -> list[float]:
    """Each picture's share of energy in waves of more than a quarter a pixel, in brightness."""
    grey = pictures.double().mean(dim=1)
    grey = grey - grey.mean(dim=(1, 2), keepdim=True)
    energy = torch.fft.rfft2(grey).abs().square()
    fast = frequencies(*grey.shape[1:]) > _FAST
    shares = (energy * fast).sum(dim=(1, 2)) / energy.sum(dim=(1, 2))
    return [share.item() for share in shares]


def made_in(
    seconds: float, offered: Sequence[Side], channels: Sequence[int]
) -> tuple[list[Made], list[str]]:
    """What each side makes of `channels` in so many processor seconds a picture, in turns.

    And a line for each side that could not: mostly because its package is not installed.
    """
    made, missing = [], []
    for side in offered:
        try:
            side.make(channels[0], Budget(0.0), 0)  # imports, and warms up
        except Exception as error:
            missing.append(_left_out(side, error))
        else:
            made.append(Made(side))
    for seed, number in enumerate(channels):
        for one in list(made):
            try:
                one.add(number, seconds, seed)
            except Exception as error:
                missing.append(_left_out(one.side, error))
                made.remove(one)
    return made, missing


def _left_out(side: Side, error: Exception) -> str:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return f"{side.name} was left out: {reason.rstrip('.')}."


def reached(setting: Setting, made: Made, channels: Sequence[int]) -> Reached:
    """What a side's pictures are worth."""
    pictures = torch.cat(made.pictures)
    return Reached(
        made.side,
        statistics.mean(made.seconds),
        statistics.mean(made.steps),
        held_out(setting, pictures, channels),
        fast_share(pictures),
    )


def sheet(pictures: Tensor, path: Path) -> None:
    """`pictures` (N, 3, H, W) in a row, as a JPEG."""
    row = torch.cat(list(torch.nn.functional.pad(pictures, (0, 4), value=1.0)), dim=2)
    to_image(row[:, :, :-4]).save(path, quality=_QUALITY, optimize=True)


def caricatures(setting: Setting, steps: int) -> Tensor:
    """Drawn pictures over what conv4_1 sees in them: (N, 3, 2 * H, W)."""
    images = [draw(name, seed=3, size=setting.size) for name in SOURCES]
    sources = torch.stack([to_tensor(image, size="keep") for image in images])
    found = caricature(setting.network, sources, layer="conv4_1", steps=steps)
    return torch.cat([sources, found.pictures], dim=2)


def main(argv: Sequence[str]) -> None:
    """Make, measure and write."""
    given = _parser().parse_args(argv)
    torch.set_num_threads(1)
    channels = dict(list(CHANNELS.items())[: given.channels])
    setting = Setting(load_network("specimens"), find_layer(LAYER).index, given.size)
    asked = [side for side in sides(setting) if not given.only or side.name in given.only]
    made, missing = made_in(given.seconds, asked, list(channels))
    if not made:
        raise SystemExit("\n".join([*missing, "There is nothing to show."]))
    found = [reached(setting, one, list(channels)) for one in made]
    sketched = caricatures(setting, given.caricature)
    folder = PAGE.parent / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for one in made:
        sheet(torch.cat(one.pictures), folder / f"gallery-{one.side.name}.jpg")
    sheet(sketched, folder / "gallery-caricature.jpg")
    shown = [(one.side.name, one.side.about) for one in made]
    shown.append(("caricature", "drawn pictures, and what conv4_1 sees in them"))
    text = page(
        found,
        [f"{name} ({number})" for number, name in channels.items()],
        missing,
        shown,
        held_out=HELD_OUT,
        size=given.size,
        seconds=given.seconds,
        layer=LAYERS[setting.layer].name,
        tuned=", ".join(map(str, TUNED)),
    )
    PAGE.write_text(text, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of processor, a picture")
    parser.add_argument("--size", type=int, default=SIZE, help="pixels a side, 32 at least")
    numbers = range(1, len(CHANNELS) + 1)
    parser.add_argument("--channels", type=int, default=len(CHANNELS), choices=numbers)
    parser.add_argument("--only", nargs="+", choices=NAMES, help="sides to run; default: all")
    parser.add_argument("--caricature", type=int, default=200, help="steps of the caricatures")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
