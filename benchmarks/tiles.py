"""A gradient in tiles against the whole picture's: operations, memory, time, and how far off.

`--seconds 1200` computes the huge picture to its end on a CPU too, and a dream of two steps of it;
otherwise nine tiles, one of which touches no edge: memory is the same from tile to tile.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from beholder.layers import LAYERS
from beholder.science.networks import Network, depth_of, load_network
from beholder.science.prefix import arithmetic, prefix_of
from beholder.science.tile_plan import operations, steps_of, tile_side
from beholder.science.tiles import tiled_gradient
from benchmarks.harness import Options, Row, alternate, run
from benchmarks.huge import LAYER, SIDE, room_of

ABOUT = "A gradient in tiles, against the whole picture's."
COUNTED = (5, 12, 20, 28, 35)  # layers
WHOLE_S = 900  # with so much time a CPU may finish the huge picture
COMPARED = {"cpu": 480, "cuda": 2048}  # pixels a side of what fits whole
ROUNDED, PICTURES = 160, 2  # pixels a side, and how many
TILES_A_SIDE = 2


def rows_of(given: Options) -> Iterator[Row]:
    """Every figure, the cheapest first."""
    kind = given.device.split(":")[0]
    network = load_network("random:0", device=given.device)
    yield from _counted(network, room_of(network))
    yield from _compared(network, COMPARED[kind], given)
    yield from _rounding(network)
    yield from _huge(given, kind)


def _counted(network: Network, memory: int) -> Iterator[Row]:
    for layer in COUNTED:
        features = _features(network, layer)
        steps = steps_of(features)
        tile = tile_side(steps, memory)
        times = operations(steps, SIDE, SIDE, tile) / operations(steps, SIDE, SIDE)
        yield Row(
            f"operations in tiles, layer {layer}",
            times,
            "x",
            goal=1.5 if layer >= LAYER else None,
            better="lower",
            detail=f"of the whole's, {SIDE} x {SIDE}, counted; tiles of {tile} places, at most "
            f"{memory >> 20} MiB",
        )


def _compared(network: Network, side: int, given: Options) -> Iterator[Row]:
    features = _features(network, LAYER)
    picture = _noise(side).to(network.device)
    tile = side // LAYERS[LAYER].stride // TILES_A_SIDE
    prefix = prefix_of(network.module, network.device, "float32")
    assert prefix is not None

    def whole() -> Tensor:
        return prefix.gradient(picture, len(features), None)[1]

    def tiled() -> Tensor:
        with arithmetic(network.device, "float32"):
            return _tiled(features, picture, tile)

    steps = steps_of(features)
    times = operations(steps, side, side, tile) / operations(steps, side, side)
    timings = alternate(
        {"tiled": tiled, "whole": whole}, seconds_max=given.seconds / 3, device=given.device
    )
    slower = timings["tiled"].median / timings["whole"].median
    yield Row(
        "time of an operation in tiles",
        slower / times,
        "x",
        better="lower",
        detail=f"of one in the whole picture, layer {LAYER}, {side} x {side} in "
        f"{TILES_A_SIDE} x {TILES_A_SIDE} tiles, all at corners, where padding takes most",
    )


def _rounding(network: Network) -> Iterator[Row]:
    """How far off the whole picture's gradient, next to what another layout of it is off."""
    features = _features(network, LAYER)
    tile = ROUNDED // LAYERS[LAYER].stride // TILES_A_SIDE
    in_tiles, laid_out = [], []
    for seed in range(PICTURES):
        picture = _noise(ROUNDED, seed).to(network.device)
        whole = _by_autograd(features, picture.contiguous(memory_format=torch.channels_last))
        with arithmetic(network.device, "float32"):
            in_tiles.append(_apart(_tiled(features, picture, tile), whole))
        laid_out.append(_apart(_by_autograd(features, picture), whole))
    yield Row(
        "gradient in tiles, off the whole's",
        statistics.mean(in_tiles),
        goal=statistics.mean(laid_out),
        better="lower",
        detail=f"as a share of its norm, by autograd, mean of {PICTURES} of {ROUNDED} x {ROUNDED}; "
        "the goal is what autograd is off itself where a tensor lies otherwise in memory",
    )


def _huge(given: Options, kind: str) -> Iterator[Row]:
    part = kind == "cpu" and given.seconds < WHOLE_S
    found = _in_a_process(given.device, *["--part"] * part)
    how = f"{SIDE} x {SIDE}, layer {LAYER}, {found['tiles']} tiles{' of it' if part else ''}"
    yield _peak("peak memory of a huge picture's gradient", found, kind, f"one gradient of {how}")
    yield Row("seconds of a huge picture's gradient", found["seconds"], "s", detail=how)
    if not part:
        found = _in_a_process(given.device, "--steps", "2")
        yield _peak("peak memory of a huge picture's dream", found, kind, f"two steps of {how}")


def _in_a_process(device: str, *options: str) -> dict[str, float]:
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.huge", "--device", device, *options],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(answer.stdout)
    return found


def _peak(name: str, found: dict[str, float], kind: str, how: str) -> Row:
    where = "GPU memory" if kind == "cuda" else "memory of the process, all in all"
    return Row(
        name,
        found["peak_bytes"] / 2**30,
        "GiB",
        goal=8.0 if kind == "cuda" else 3.0,
        better="lower",
        detail=f"{where}; {how}",
    )


def _noise(side: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed))


def _features(network: Network, layer: int) -> list[nn.Module]:
    return list(network.module.features)[: depth_of(LAYERS[layer], pre_relu=False)]


def _tiled(features: list[nn.Module], picture: Tensor, tile: int) -> Tensor:
    unchanged: Callable[[Tensor], Tensor] = lambda pixels: pixels  # noqa: E731
    return tiled_gradient(features, picture, channels=None, prepare=unchanged, tile=tile)[1]


def _by_autograd(features: list[nn.Module], picture: Tensor) -> Tensor:
    with arithmetic(picture.device, "float32"), torch.enable_grad():
        pixels = picture.clone().requires_grad_()
        norm = nn.Sequential(*features)(pixels).norm()
        (gradient,) = torch.autograd.grad(norm, pixels)
    return gradient


def _apart(found: Tensor, expected: Tensor) -> float:
    """How far two gradients are from each other, as a share of the second's norm."""
    return float((found - expected).norm() / expected.norm())


if __name__ == "__main__":
    run("tiles", rows_of, about=ABOUT, seconds=30)
