"""Run by a test: one gradient in tiles, and by how much this process grew for it, as JSON."""

import json
from pathlib import Path

import torch

from beholder.science.tile_plan import plan, steps_of
from beholder.science.tiles import tiled_gradient
from beholder.science.vgg import features_of

SIDE, TILE = 640, 160
WIDTHS = (32, 32, "M", 64, 64, "M", 128)


def of_process(name: str) -> int:
    """Bytes that /proc says of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return 1024 * int(kilobytes)


def main() -> None:
    torch.set_num_threads(1)
    features = list(features_of(WIDTHS).requires_grad_(False))
    picture = torch.rand(1, 3, SIDE, SIDE)

    def gradient(pictures: torch.Tensor) -> torch.Tensor:
        return tiled_gradient(
            features, pictures, channels=None, prepare=lambda pixels: pixels, tile=TILE
        )[1]

    gradient(picture[:, :, :64, :64])  # oneDNN's code is there
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is there now
    before = of_process("VmRSS")
    found = gradient(picture)
    grown = of_process("VmHWM") - before
    tiles = plan(steps_of(features), SIDE, SIDE, TILE)
    planned = max(tile.peak_bytes for tile in tiles) + found.nbytes
    print(json.dumps({"grown": grown, "planned": planned}))


main()
