"""Dreams against lucent and torch-dreams: same network, layer, objective, steps and pictures.

Both are set up to do our work and no more: pixels as they are instead of their Fourier spectrum, no
transforms, plain gradient ascent instead of Adam, frozen weights, the batch that we take. What is
left is theirs: they run the whole network in the layout that it has, and do not clip to [0, 1].
They come with the extra `bench`; one that is not installed has a row that says so.
"""

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from importlib.metadata import version

import torch
from torch import Tensor, nn

from beholder.science.dream import dream
from beholder.science.networks import load_network
from beholder.science.prefix import arithmetic
from benchmarks.comparison import Work, compare
from benchmarks.harness import Options, Row, run

SIZE = 224  # pixels a side
LAYER = 28
LEARNING_RATE = 0.01
# Pictures and steps of one call, by kind of device.
BATCHES = {"cpu": (4, 2), "cuda": (64, 10)}

Peer = Callable[[nn.Module, Tensor, int], Tensor]


def lucent(module: nn.Module, pictures: Tensor, steps: int) -> Tensor:
    """What `pictures` (B, 3, H, W) become with lucent's `render_vis`."""
    render = import_module("lucent.optvis.render")
    pixels = pictures.clone().requires_grad_()
    try:
        render.render_vis(
            module,
            lambda layer_output: -_norms(layer_output(f"features_{LAYER}")),
            param_f=lambda: ([pixels], lambda: pixels),
            optimizer=_ascent,
            transforms=[],
            thresholds=(steps,),
            preprocess=False,
            progress=False,
            show_image=False,
        )
    finally:
        _remove_hooks(module)  # it leaves its own, and the next call would run them too
    return pixels.detach()


def torch_dreams(module: nn.Module, pictures: Tensor, steps: int) -> Tensor:
    """What `pictures` (B, 3, H, W) become with torch-dreams' `Dreamer.render`."""
    dreamer = import_module("torch_dreams").Dreamer(module, device=str(pictures.device), quiet=True)
    dreamer.set_custom_transforms(nn.Identity())
    found = dreamer.render(
        layers=[module.get_submodule(f"features.{LAYER}")],
        image_parameter=_Pixels(pictures),
        iters=steps,
        custom_func=lambda outputs: -_norms(outputs[0]),
    )
    grown: Tensor = found.pixels.detach()
    return grown


class _Pixels:
    """A batch of pictures as torch-dreams wants its parameters; it copies what it is given."""

    def __init__(self, pictures: Tensor) -> None:
        self.pixels = nn.Parameter(pictures.clone())
        self.optimizer: torch.optim.Optimizer | None = None

    def get_optimizer(self, lr: float, weight_decay: float) -> None:
        self.optimizer = _ascent([self.pixels])

    def forward(self, device: str) -> Tensor:
        return self.pixels

    def clip_grads(self, grad_clip: float) -> None:
        """Nothing: ours are not clipped either."""


def _ascent(pixels: list[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.SGD(pixels, lr=LEARNING_RATE)


def _norms(maps: Tensor) -> Tensor:
    """The sum of each picture's norm, the objective of a batch."""
    norms: Tensor = torch.linalg.vector_norm(maps.flatten(1), dim=1)  # (B,)
    return norms.sum()


def _remove_hooks(module: nn.Module) -> None:
    for part in module.modules():
        part._forward_hooks.clear()


PEERS: dict[str, tuple[str, Peer]] = {
    "lucent": ("torch-lucent", lucent),
    "torch-dreams": ("torch-dreams", torch_dreams),
}


def rows_of(given: Options, *, size: int = SIZE) -> Iterator[Row]:
    """A row for each peer: how many times as many steps a second ours makes."""
    network = load_network("random:0", device=given.device)
    count, steps = BATCHES[torch.device(given.device).type]
    pictures = torch.rand((count, 3, size, size), generator=torch.Generator().manual_seed(0))
    pictures = pictures.to(network.device)
    theirs = load_network("random:0", device=given.device).module  # they hook it and train it
    theirs.requires_grad_(False)
    done = count * steps
    for name, (package, peer) in PEERS.items():
        row = f"dream, layer {LAYER}, float32, times {name}"
        try:
            _as_ours(peer, theirs, pictures[:1], 1)
        except ImportError as error:
            yield Row(row, None, detail=f"{error}; the extra `bench` has it")
            continue
        works = {
            "ours": Work(partial(dream, network, pictures, layer=LAYER, steps=steps), done),
            "theirs": Work(partial(_as_ours, peer, theirs, pictures, steps), done),
        }
        found = compare(works, device=given.device, seconds_max=given.seconds / len(PEERS))
        detail = f"{package} {version(package)}; {count} pictures at once"
        yield Row(row, found.times("ours", "theirs"), "x", detail=detail)


def _as_ours(peer: Peer, module: nn.Module, pictures: Tensor, steps: int) -> Tensor:
    """In float32, which torch's own defaults convolve in TF32 on a GPU."""
    with arithmetic(pictures.device, "float32"), torch.enable_grad():
        return peer(module, pictures, steps)


if __name__ == "__main__":
    run("peers", rows_of, about=__doc__ or "", seconds=40)
