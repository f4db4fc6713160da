"""State dicts of VGG19: `read` a file, `build` the network it holds, `digest` what it weighs.

Widths, average pooling and classifier follow from the tensors' shapes, so that one builder makes
the full network and the narrow ones.
"""

import hashlib
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from beholder.errors import NetworkUnavailable
from beholder.labels import imagenet_labels
from beholder.layers import LAYERS
from beholder.science.vgg import VGG, features_of, head_of

_LINEARS = ((0,), (0, 3, 6))  # where a classifier has its linear layers: narrow, torchvision's
_KERNEL = (3, 3)


class _Misfit(Exception):
    """Why these tensors are no VGG19, as the end of a sentence."""


def load(path: Path) -> tuple[VGG, tuple[str, ...]]:
    """The network in a .pth, .pt or .safetensors file, on the CPU, and its labels.

    The network is in evaluation mode, in float32, and asks for no gradients. Raises
    NetworkUnavailable, naming the file and what is wrong with it.
    """
    state, metadata = read(path)
    try:
        module = build(state)
        _check_pooling(metadata, module)
        return module, _labels(metadata, _classes(module))
    except _Misfit as misfit:
        raise NetworkUnavailable(
            f"{path} is no state dict of torchvision's VGG19: {misfit}."
        ) from None


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A file's tensors by name, and its metadata (.safetensors alone has any).

    Nothing in the file is executed. Raises NetworkUnavailable if it can't be read.
    """
    if not path.is_file():
        raise NetworkUnavailable(f"there is no file {path}: check the path given as --network.")
    try:
        if path.suffix.lower() == ".safetensors":
            with safe_open(path, framework="pt") as file:
                keys = file.keys()
                return {key: file.get_tensor(key) for key in keys}, file.metadata() or {}
        _insist_on_plain_zip(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (MemoryError, NetworkUnavailable):
        raise
    except Exception as error:  # unpickling broken bytes raises nearly anything
        raise NetworkUnavailable(
            f"{path} is damaged, or holds more than tensors: {_first_line(error)}"
        ) from None
    if not isinstance(loaded, Mapping):
        raise NetworkUnavailable(f"{path} holds a {type(loaded).__name__}, not a state dict.")
    return {str(key): value for key, value in loaded.items()}, {}


def _insist_on_plain_zip(path: Path) -> None:
    """Raise NetworkUnavailable for a zip that packs its tensors: a megabyte may hold a terabyte.

    torch.save writes them as they are, so that what is inside can't be larger than the file.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inside = sum(entry.file_size for entry in archive.infolist())
        if inside > path.stat().st_size:
            raise NetworkUnavailable(
                f"{path} unpacks to {inside:,} bytes, more than it has: save it with torch.save."
            )


def build(state: Mapping[str, Tensor]) -> VGG:
    """The network of this state dict, frozen and in evaluation mode; (B, 3, H, W) to (B, classes).

    Float16 and other floats become float32; float32 tensors are taken over without a copy.
    """
    table = _table(state)
    linears, side = _classifier(state, channels=[v for v in table if isinstance(v, int)][-1])
    with torch.device("meta"):  # no memory, and no random numbers, for weights about to be replaced
        pooling = nn.AdaptiveAvgPool2d((side, side))
        module = VGG(features_of(table), pooling, head_of(linears))
    extra = sorted(set(state) - set(module.state_dict()))
    if extra:
        raise _Misfit(f"{extra[0]} is one tensor too many (batch norm is not supported)")
    weights = {key: tensor.float().contiguous() for key, tensor in state.items()}
    module.load_state_dict(weights, assign=True)
    return module.eval().requires_grad_(False)


def digest(module: nn.Module) -> str:
    """SHA-256 of all weights: name, type, shape and bytes of each, in the order of the names.

    The same weights have the same digest whatever file they came from.
    """
    found = hashlib.sha256()
    for key, tensor in sorted(module.state_dict().items()):
        values = tensor.detach().to("cpu", torch.float32).contiguous()
        found.update(f"{key} float32 {tuple(values.shape)}\n".encode())
        found.update(values.numpy().data)
    return found.hexdigest()


def _table(state: Mapping[str, Tensor]) -> list[str | int]:
    """torchvision's configuration list: each convolution's width, "M" for each pool."""
    table: list[str | int] = []
    incoming = 3
    for layer in LAYERS:
        if layer.kind == "pool":
            table.append("M")
        elif layer.kind == "conv":
            weight, outgoing = _pair(state, f"features.{layer.index}", dimensions=4)
            if weight != (outgoing, incoming, *_KERNEL):
                wanted = (outgoing, incoming, *_KERNEL)
                raise _Misfit(f"features.{layer.index}.weight is {weight} where {wanted} fits")
            table.append(outgoing)
            incoming = outgoing
    return table


def _classifier(state: Mapping[str, Tensor], *, channels: int) -> tuple[list[tuple[int, int]], int]:
    """Each linear layer's (inputs, outputs), and the side of the pooled map before the first."""
    found = tuple(sorted({int(key.split(".")[1]) for key in state if _is_linear(key)}))
    if found not in _LINEARS:
        raise _Misfit("its classifier is neither one linear layer nor torchvision's three")
    shapes: list[tuple[int, int]] = []
    for index in found:
        (rows, columns), outgoing = _pair(state, f"classifier.{index}", dimensions=2)
        if rows != outgoing or (shapes and columns != shapes[-1][1]):
            raise _Misfit(f"classifier.{index}.weight is {(rows, columns)}, which does not fit")
        shapes.append((columns, rows))
    side = math.isqrt(shapes[0][0] // channels)
    if side < 1 or side * side * channels != shapes[0][0]:
        raise _Misfit(f"classifier.0 takes {shapes[0][0]} values, no square of {channels} channels")
    return shapes, side


def _is_linear(key: str) -> bool:
    parts = key.split(".")
    return len(parts) == 3 and parts[0] == "classifier" and parts[1].isdecimal()


def _pair(
    state: Mapping[str, Tensor], name: str, *, dimensions: int
) -> tuple[tuple[int, ...], int]:
    """The weight's shape and the bias's length."""
    for key in (f"{name}.weight", f"{name}.bias"):
        if key not in state:
            raise _Misfit(f"{key} is missing")
        if not _is_plain(state[key]):
            raise _Misfit(f"{key} is no tensor of floats")
    weight, bias = tuple(state[f"{name}.weight"].shape), tuple(state[f"{name}.bias"].shape)
    if len(weight) != dimensions or len(bias) != 1 or bias[0] != weight[0] or 0 in weight:
        raise _Misfit(f"{name} has a weight of {weight} and a bias of {bias}")
    return weight, bias[0]


def _is_plain(value: object) -> bool:
    """Whether it is a tensor of floats that are all there: not sparse, nor one value repeated."""
    return (
        isinstance(value, Tensor)
        and value.is_floating_point()
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )


def _classes(module: VGG) -> int:
    last = module.classifier[-1]
    assert isinstance(last, nn.Linear)
    return last.out_features


def _check_pooling(metadata: Mapping[str, str], module: VGG) -> None:
    """What the file says of the pooling has to agree with what its classifier takes."""
    pooled = module.avgpool.output_size
    side = str(pooled[0] if isinstance(pooled, tuple) else pooled)
    if metadata.get("avgpool", side) != side:
        raise _Misfit(
            f"its avgpool is {metadata['avgpool']}, but its classifier takes {side} x {side}"
        )


def _labels(metadata: Mapping[str, str], classes: int) -> tuple[str, ...]:
    """The file's own labels, else ImageNet's for 1000 classes, else "class 0" and so on."""
    if "labels" not in metadata:
        numbered = tuple(f"class {index}" for index in range(classes))
        return imagenet_labels() if classes == 1000 else numbered
    try:
        labels = json.loads(metadata["labels"])
    except ValueError:
        raise _Misfit("its labels are not JSON") from None
    if not isinstance(labels, list) or len(labels) != classes:
        raise _Misfit(f"its labels are not a list of {classes} names, one a class")
    return tuple(str(label) for label in labels)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
