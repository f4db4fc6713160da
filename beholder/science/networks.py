"""`load_network` gives a `Network`: VGG19 with weights, a name, a hash and labels.

Names are those of `beholder.networks`. `weights` reads files and `download` fetches them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import torch
from torch import Tensor, nn

from beholder.devices import no_device
from beholder.errors import InvalidChannel, InvalidInput, InvalidSpec, NetworkUnavailable
from beholder.labels import imagenet_labels
from beholder.layers import LAYERS, Layer
from beholder.networks import check_network
from beholder.science import weights
from beholder.science.imagenet import imagenet_file
from beholder.science.vgg import VGG, initialised


@dataclass(frozen=True)
class Network:
    """A VGG19 that results can name.

    name: what it was asked for by. sha256: of its weights, whatever file held them.
    labels: one a class. module: built as torchvision's VGG, in evaluation mode and frozen, on
    `device`.
    """

    name: str
    sha256: str
    labels: tuple[str, ...]
    module: VGG
    device: torch.device

    @property
    def widths(self) -> tuple[int, ...]:
        """How many channels each of the 37 layers has."""
        found: list[int] = []
        for module in self.module.features:
            found.append(module.out_channels if isinstance(module, nn.Conv2d) else found[-1])
        return tuple(found)


def load_network(
    name: str,
    *,
    folder: Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
    look: Callable[[], object] | None = None,
) -> Network:
    """The network `vgg19`, `specimens`, `random:SEED`, or of a state dict's path.

    folder: where downloaded weights are kept; None takes torch.hub's own. device: "auto" takes the
    GPU when there is one. progress: draw a download's progress on stderr. look: called every moment
    of a download; what it raises ends it. Raises InvalidSpec for a name or device that there isn't,
    NetworkUnavailable for weights that can't be had.
    """
    check_network(name)
    place = find_device(device)
    module, labels = _load(name, folder, progress, look)
    module = module.eval().requires_grad_(False)
    return Network(name, weights.digest(module), labels, module.to(place), place)


def _load(
    name: str, folder: Path | None, progress: bool, look: Callable[[], object] | None
) -> tuple[VGG, tuple[str, ...]]:
    if name.startswith("random:"):
        return _random(int(name.removeprefix("random:"))), imagenet_labels()
    if name == "vgg19":
        folder = folder or Path(torch.hub.get_dir(), "checkpoints")
        return weights.load(imagenet_file(folder, progress=progress, look=look))
    if name == "specimens":
        return _specimens()
    return weights.load(Path(name).expanduser())


def _random(seed: int) -> VGG:
    """torchvision's VGG19 as after `torch.manual_seed(seed)`; the caller's generators stay put."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        return initialised()


def _specimens() -> tuple[VGG, tuple[str, ...]]:
    with as_file(files("beholder.specimens") / "specimens.safetensors") as path:
        if not path.is_file():
            raise NetworkUnavailable(
                "the built-in network's file specimens.safetensors is missing: "
                "install beholder again."
            )
        return weights.load(path)


def find_device(name: str | torch.device) -> torch.device:
    """The device of this name; "auto" takes the GPU when there is one. Raises InvalidSpec."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise no_device(name) from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidSpec(f"this machine has no {device}: write auto or cpu.")
    return device


def check_pictures(pictures: Tensor) -> None:
    """Raise InvalidInput unless `pictures` is a batch (B, 3, H, W) of floats."""
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not pictures.is_floating_point():
        raise InvalidInput(
            "pictures are floats of shape (B, 3, H, W) in [0, 1]; "
            f"got {pictures.dtype} of {tuple(pictures.shape)}. One picture: picture[None]."
        )


def channel_index(network: Network, layer: Layer, channels: Sequence[int]) -> Tensor:
    """`channels`, each once, as an int64 tensor on the network's device.

    Raises InvalidChannel if there are none, or the layer lacks one in this network.
    """
    width = network.widths[layer.index]
    wrong = [channel for channel in channels if not 0 <= channel < width]
    if wrong or not channels:
        raise InvalidChannel(
            f"{layer.name} has channels 0-{width - 1} in {network.name}; "
            f"got {wrong[0] if wrong else 'none'}."
        )
    return torch.tensor(list(dict.fromkeys(channels)), device=network.device)


@contextmanager
def at_rest(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients for weights; every module is as it was afterwards."""
    training = [part for part in module.modules() if part.training]
    learning = [weight for weight in module.parameters() if weight.requires_grad]
    try:
        for part in training:
            part.training = False
        for weight in learning:
            weight.requires_grad_(False)
        yield
    finally:
        for part in training:
            part.training = True
        for weight in learning:
            weight.requires_grad_(True)


def depth_of(layer: Layer, *, pre_relu: bool) -> int:
    """How many modules of `features` have to run before `layer` can be read.

    torchvision's ReLUs work in place: a convolution's stored output is overwritten by the ReLU
    after it, and the published method reads what is there then. `pre_relu` reads before that.
    """
    waits = layer.kind == "conv" and not pre_relu
    return min(layer.index + 1 + waits, len(LAYERS))
