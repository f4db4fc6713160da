"""A checkpoint of one dream as bytes: `pack` and `unpack`.

A line with the SHA-256 of what follows; a line of JSON, which says of what dream it is and what
tensors there are; their bytes, one after another. A picture may be most of the memory there is, so
nothing is copied to be written: safetensors, by comparison, would take three times as much.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from beholder.jobs.claim import ClaimedItem
from beholder.science.checkpoint import Checkpoint
from beholder.science.networks import Network
from beholder.science.prefix import Precision
from beholder.specs import DreamSpec

_MAGIC = b"beholder checkpoint 1 "
_HEAD_BYTES = len(_MAGIC) + 65  # a hash in hex, and the line's end
_SNAPSHOT, _MEMORY = "snapshot.", "memory."
_KINDS = {"F32": torch.float32, "F64": torch.float64}  # what dreams are computed in
_NAMES = {kind: name for name, kind in _KINDS.items()}


@dataclass(frozen=True)
class Kept:
    """One dream's checkpoint, a batch of 1, and the precision that it was computed in."""

    checkpoint: Checkpoint
    precision: str


def dream_key(
    spec: DreamSpec, item: ClaimedItem, network: Network, before: str | None = None
) -> str:
    """What tells one dream from all others, but for its precision; 64 hex digits.

    before: the hash of the dream that a film's frame starts from.
    """
    asked = spec.model_dump(mode="json", exclude={"layers", "noise", "seed", "precision"})
    seed = spec.seed if item.seed is None and not spec.plain else item.seed
    start = (item.picture_sha256, item.seed is None, seed, item.layer, before)
    text = json.dumps([asked, start, network.sha256], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def pack(checkpoint: Checkpoint, key: str, precision: Precision) -> list[bytes | memoryview]:
    """A checkpoint of one dream as a file's parts, of which the tensors' are their own memory."""
    snapshots = {f"{_SNAPSHOT}{step}": one for step, one in checkpoint.snapshots.items()}
    memory = {f"{_MEMORY}{name}": one for name, one in checkpoint.memory.items()}
    picture, objective = checkpoint.pictures, checkpoint.objective
    tensors = {"picture": picture, "objective": objective, **snapshots, **memory}
    about = {
        "dream": key,
        "step": checkpoint.step,
        "precision": precision,
        "tensors": [[name, _NAMES[one.dtype], list(one.shape)] for name, one in tensors.items()],
    }
    body: list[bytes | memoryview] = [json.dumps(about).encode() + b"\n"]
    body += map(_bytes_of, tensors.values())
    return [_head(body), *body]


def unpack(data: bytes, key: str) -> Kept:
    """What `pack` was given. Raises ValueError for damaged bytes and for another dream's."""
    whole = memoryview(data)
    body = whole[_HEAD_BYTES:]
    if whole[:_HEAD_BYTES] != _head([body]):
        raise ValueError("it is damaged, or no checkpoint")
    try:
        start = data.index(b"\n", _HEAD_BYTES) + 1
        about = json.loads(data[_HEAD_BYTES:start])
        tensors = _tensors(about["tensors"], whole[start:])
        dream, step, precision = about["dream"], int(about["step"]), str(about["precision"])
        picture, objective = tensors["picture"], tensors["objective"]
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"it can't be read: {error}") from None
    if dream != key:
        raise ValueError("it is of another dream")
    snapshots = {int(step): one for step, one in _named(tensors, _SNAPSHOT)}
    memory = dict(_named(tensors, _MEMORY))
    return Kept(Checkpoint(step, picture, snapshots, objective, memory), precision)


def _named(tensors: dict[str, Tensor], prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            yield name.removeprefix(prefix), tensor


def _head(body: Sequence[bytes | memoryview]) -> bytes:
    digest = hashlib.sha256()
    for part in body:
        digest.update(part)
    return _MAGIC + digest.hexdigest().encode() + b"\n"


def _bytes_of(tensor: Tensor) -> memoryview:
    """Its memory, where it is contiguous, else that of a copy which is."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _tensors(described: list[tuple[str, str, list[int]]], data: memoryview) -> dict[str, Tensor]:
    """Those that lie in `data` one after another, each with memory of its own."""
    found: dict[str, Tensor] = {}
    for name, kind, shape in described:
        size = math.prod(shape) * _KINDS[kind].itemsize
        piece = bytearray(data[:size])
        found[name] = torch.frombuffer(piece, dtype=_KINDS[kind]).reshape(shape)
        data = data[size:]
    return found
