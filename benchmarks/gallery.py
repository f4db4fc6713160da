"""`python -m benchmarks.gallery`: feature pictures beside lucent's and Horama's, for equal time.

Each side makes a picture of each channel in the processor time given; what it reached is measured
alike, and docs/gallery.md gets the tables and the pictures. The machine may be busy: time is the
process's own, of one thread, and how long a step takes is measured in turns.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from beholder.layers import LAYERS, find_layer
from beholder.science.inputs import to_image, to_tensor
from beholder.science.likeness import caricature
from beholder.science.networks import load_network
from beholder.science.response import Response
from beholder.science.spectrum import frequencies
from beholder.specimens.draw import draw
from benchmarks.gallery_sides import Setting, Side, sides

PAGE = Path(__file__).parents[1] / "docs" / "gallery.md"
BEGIN, END = "<!-- gallery: begin -->", "<!-- gallery: end -->"
LAYER = "conv5_1"
# Each the strongest for drawn pictures of one class, by the widest margin to the next class.
CHANNELS = {53: "dots", 100: "bricks", 111: "rays", 96: "burst"}
SOURCES = ("star", "honeycomb", "spiral", "scales")  # of caricatures
SECONDS = 30.0  # of processor time a picture
SIZE = 224
HELD_OUT = 24  # transforms that a picture has to stand afterwards
_FAST = 0.25  # waves a pixel: half of the fastest that there is
_TRIALS = 3
_QUALITY = 88  # of JPEG


@dataclass(frozen=True)
class Made:
    """What one side made: pictures (N, 3, H, W), its steps, and seconds of processor time each."""

    side: Side
    pictures: Tensor
    steps: int
    seconds: float


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


def timed(made: Sequence[Side], number: int) -> dict[str, float]:
    """Processor seconds a step of each side, the median of trials in turns."""
    found: dict[str, list[float]] = {side.name: [] for side in made}
    for trial in range(_TRIALS + 1):
        for side in made:
            few, more = (_cpu(side, number, steps) for steps in (1, 5))
            if trial:  # the first warms up
                found[side.name].append((more - few) / 4)
    return {name: max(statistics.median(taken), 1e-4) for name, taken in found.items()}


def _cpu(side: Side, number: int, steps: int) -> float:
    begun = time.process_time()
    side.make(number, steps, 0)
    return time.process_time() - begun


def made_in(seconds: float, available: Sequence[Side], channels: Sequence[int]) -> list[Made]:
    """What each side makes of `channels` in so many processor seconds a picture, in turns."""
    a_step = timed(available, channels[0])
    steps = {side.name: max(1, round(seconds / a_step[side.name])) for side in available}
    pictures: dict[str, list[Tensor]] = {side.name: [] for side in available}
    taken = dict.fromkeys(pictures, 0.0)
    for seed, number in enumerate(channels):
        for side in available:
            begun = time.process_time()
            pictures[side.name].append(side.make(number, steps[side.name], seed))
            taken[side.name] += time.process_time() - begun
            print(f"{side.name}: channel {number}, {steps[side.name]} steps", file=sys.stderr)
    return [
        Made(
            side,
            torch.cat(pictures[side.name]),
            steps[side.name],
            taken[side.name] / len(channels),
        )
        for side in available
    ]


def importable(offered: Sequence[Side], number: int) -> tuple[list[Side], list[str]]:
    """Those whose packages are installed, and a line for each of the others."""
    found, missing = [], []
    for side in offered:
        try:
            side.make(number, 1, 0)
        except ImportError as error:
            missing.append(f"{side.name} was left out: {error}.")
        else:
            found.append(side)
    return found, missing


def tables(setting: Setting, made: Sequence[Made], channels: Mapping[int, str]) -> str:
    """What was reached, side by side."""
    head = ["side", "steps", "s", *(f"{name} ({number})" for number, name in channels.items())]
    reached, fast = [head], [head]
    for one in made:
        about = f"**{one.side.name}** ({one.side.package} {version(one.side.package)})"
        start = [about, str(one.steps), f"{one.seconds:.1f}"]
        values = held_out(setting, one.pictures, list(channels))
        reached.append(start + [f"{value:.2f}" for value in values])
        fast.append(start + [f"{share:.2%}" for share in fast_share(one.pictures)])
    return (
        "Objective under held-out transforms; more is better.\n\n"
        f"{_markdown(reached)}\n\n"
        f"Share of energy in high frequencies; less is cleaner.\n\n{_markdown(fast)}"
    )


def _markdown(cells: list[list[str]]) -> str:
    head, *body = cells
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *body])


def sheet(pictures: Tensor, path: Path) -> None:
    """`pictures` (N, 3, H, W) in a row, as a JPEG."""
    row = torch.cat(list(torch.nn.functional.pad(pictures, (0, 4), value=1.0)), dim=2)
    to_image(row[:, :, :-4]).save(path, quality=_QUALITY, optimize=True)


def _inserted(page: str, text: str) -> str:
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{PAGE.name} has no {BEGIN} ... {END} to write between.")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def caricatures(setting: Setting, steps: int) -> Tensor:
    """Drawn pictures over what conv4_1 sees in them: (N, 3, 2 * H, W)."""
    images = [draw(name, seed=3, size=setting.size) for name in SOURCES]
    sources = torch.stack([to_tensor(image, size="keep") for image in images])
    found = caricature(setting.network, sources, layer="conv4_1", steps=steps)
    return torch.cat([sources, found.pictures], dim=2)


def main(argv: Sequence[str]) -> None:
    """Make, measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of processor, a picture")
    parser.add_argument("--size", type=int, default=SIZE, help="pixels a side")
    parser.add_argument("--channels", type=int, default=len(CHANNELS), help="how many of them")
    parser.add_argument("--only", nargs="*", help="sides to run; all, unless given")
    parser.add_argument("--caricature", type=int, default=200, help="steps of the caricatures")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    channels = dict(list(CHANNELS.items())[: given.channels])
    setting = Setting(load_network("specimens"), find_layer(LAYER).index, given.size)
    asked = [side for side in sides(setting) if not given.only or side.name in given.only]
    available, missing = importable(asked, next(iter(channels)))
    made = made_in(given.seconds, available, list(channels))
    folder = PAGE.parent / "pictures"
    for one in made:
        sheet(one.pictures, folder / f"gallery-{one.side.name}.jpg")
    sheet(caricatures(setting, given.caricature), folder / "gallery-caricature.jpg")
    about = {one.side.name: one.side.about for one in made}
    about["caricature"] = "drawn pictures, and what conv4_1 sees in them"
    shown = [
        f"**{name}**: {text}\n\n![{text}](pictures/gallery-{name}.jpg)"
        for name, text in about.items()
    ]
    layer = LAYERS[setting.layer].name
    text = f"{given.seconds:g} s a picture, {given.size} px, {layer}.\n\n" + "\n\n".join(
        [tables(setting, made, channels), *missing, *shown]
    )
    PAGE.write_text(_inserted(PAGE.read_text(), text))


if __name__ == "__main__":
    main(sys.argv[1:])
