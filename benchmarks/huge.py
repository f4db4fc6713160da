"""One gradient of a huge picture, or a dream, in a process of its own, which tells what it took.

`benchmarks.tiles` runs it; memory that a process has ever had can't be told apart later.
"""

import argparse
import json
import resource
import sys
import time

import torch
from torch import nn

from beholder.layers import LAYERS
from beholder.science.dream import dream
from beholder.science.networks import Network, depth_of, load_network
from beholder.science.prefix import arithmetic
from beholder.science.tile_plan import operations, plan, steps_of, tile_side
from beholder.science.tile_room import tile_room
from beholder.science.tiles import tiled_gradient

SIDE = 8192  # pixels
LAYER = 28
GPU_TILE_MEMORY = 2**30  # what `dream` lets a picture's maps take


def main() -> None:
    """Print {seconds, peak_bytes, operations, tiles} as JSON.

    `--part`: the first nine tiles only. `--steps N`: a dream of N steps, whose start nobody keeps.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--part", action="store_true")
    parser.add_argument("--steps", type=int, default=0)
    given = parser.parse_args()
    device = torch.device(given.device)
    network = load_network("random:0", device=device)
    features = list(network.module.features)[: depth_of(LAYERS[LAYER], pre_relu=False)]
    steps = steps_of(features)
    tile = tile_side(steps, room_of(network))
    begun = time.perf_counter()
    if given.steps:
        side = SIDE
        dream(network, torch.rand(1, 3, SIDE, SIDE), layer=LAYER, steps=given.steps)
    else:
        side = _three_tiles(tile) if given.part else SIDE
        _gradient(network, features, tile, side)
    found = {
        "seconds": time.perf_counter() - begun,
        "peak_bytes": _peak_bytes(device),
        "operations": 2 * operations(steps, side, side, tile) * max(1, given.steps),
        "tiles": len(plan(steps, side, side, tile)),
    }
    json.dump(found, sys.stdout)


def _gradient(network: Network, features: list[nn.Module], tile: int, side: int) -> None:
    """That of a huge picture's corner, of `side` pixels; all of the picture is in memory."""
    picture = torch.rand(1, 3, SIDE, SIDE, device=network.device)
    # The whole picture's gradient is there and has been written to, also where little is computed.
    held = torch.zeros(3 * (SIDE**2 - side**2), device=network.device)
    with arithmetic(network.device, "float32"):
        norms, _ = tiled_gradient(
            features,
            picture[:, :, :side, :side],
            channels=None,
            prepare=lambda pixels: pixels,
            tile=tile,
        )
    norms.item()  # waits for a GPU
    del held


def room_of(network: Network) -> int:
    """Bytes that a tile of it may take."""
    if network.device.type == "cuda":
        return GPU_TILE_MEMORY
    weights = sum(weight.nbytes for weight in network.module.parameters())
    return tile_room(SIDE, SIDE, weights)


def _three_tiles(tile: int) -> int:
    """Pixels of a side that is cut into three tiles."""
    return int(3 * tile * LAYERS[LAYER].stride)


def _peak_bytes(device: torch.device) -> int:
    """Of the whole process; on a GPU what torch took of its memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
