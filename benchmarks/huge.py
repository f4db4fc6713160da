"""One gradient of a huge picture in a process of its own, which tells what it took.

`benchmarks.tiles` runs it; memory that a process has ever had can't be told apart later.
"""

import argparse
import json
import resource
import sys
import time

import torch

from beholder.layers import LAYERS
from beholder.science.networks import Network, depth_of, load_network
from beholder.science.prefix import arithmetic
from beholder.science.tile_plan import operations, plan, steps_of, tile_side
from beholder.science.tile_room import tile_room
from beholder.science.tiles import tiled_gradient

SIDE = 8192  # pixels
LAYER = 28
GPU_TILE_MEMORY = 2**30  # what `dream` lets a picture's maps take


def main() -> None:
    """Print {seconds, peak_bytes, operations} as JSON. `--part`: the first nine tiles only."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--part", action="store_true")
    given = parser.parse_args()
    device = torch.device(given.device)
    network = load_network("random:0", device=device)
    features = list(network.module.features)[: depth_of(LAYERS[LAYER], pre_relu=False)]
    steps = steps_of(features)
    tile = tile_side(steps, room_of(network))
    picture = torch.rand(1, 3, SIDE, SIDE, device=device)
    part, held = picture, None
    if given.part:  # both buffers are there and have been written to; so is a tile without an edge
        held = torch.zeros_like(picture)
        side = _three_tiles(tile)
        part = picture[:, :, :side, :side]
    begun = time.perf_counter()
    with arithmetic(device, "float32"):
        norms, _ = tiled_gradient(
            features, part, channels=None, prepare=lambda pixels: pixels, tile=tile
        )
    norms.item()  # waits for a GPU
    height, width = part.shape[2:]
    found = {
        "seconds": time.perf_counter() - begun,
        "peak_bytes": _peak_bytes(device),
        "operations": 2 * operations(steps, height, width, tile),
        "tiles": len(list(plan(steps, height, width, tile))),
    }
    del held
    json.dump(found, sys.stdout)


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
