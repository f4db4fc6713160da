"""A checkpoint of one dream as bytes: `pack` and `unpack`.

A line with the SHA-256 of what follows, then a safetensors file. Its metadata say of which dream.
"""

import hashlib
import json
from dataclasses import dataclass

import safetensors.torch
from safetensors import SafetensorError

from beholder.jobs.claims import ClaimedItem
from beholder.science.checkpoint import Checkpoint
from beholder.science.networks import Network
from beholder.science.prefix import Precision
from beholder.specs import DreamSpec

_MAGIC = b"beholder checkpoint 1 "
_HEAD_BYTES = len(_MAGIC) + 65  # a hash in hex, and the line's end
_SNAPSHOT = "snapshot."


@dataclass(frozen=True)
class Kept:
    """One dream's checkpoint, a batch of 1, and the precision that it was computed in."""

    checkpoint: Checkpoint
    precision: str


def dream_key(spec: DreamSpec, item: ClaimedItem, network: Network) -> str:
    """What tells one dream from all others, but for its precision; 64 hex digits."""
    asked = spec.model_dump(mode="json", exclude={"layers", "noise", "seed", "precision"})
    start = (item.picture_sha256, item.seed, item.layer)
    text = json.dumps([asked, start, network.sha256], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def pack(checkpoint: Checkpoint, key: str, precision: Precision) -> bytes:
    """The bytes of a checkpoint of one dream."""
    snapshots = {f"{_SNAPSHOT}{step}": one for step, one in checkpoint.snapshots.items()}
    tensors = {"picture": checkpoint.pictures, "objective": checkpoint.objective, **snapshots}
    about = {"dream": key, "step": str(checkpoint.step), "precision": precision}
    body = safetensors.torch.save(tensors, about)
    return _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def unpack(data: bytes, key: str) -> Kept:
    """What `pack` was given. Raises ValueError for damaged bytes and for another dream's."""
    head, body = data[:_HEAD_BYTES], data[_HEAD_BYTES:]
    if head != _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise ValueError("it is damaged, or no checkpoint")
    try:
        length = int.from_bytes(body[:8], "little")
        about = json.loads(body[8 : 8 + length])["__metadata__"]
        tensors = safetensors.torch.load(body)
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"it can't be read: {error}") from None
    if about["dream"] != key:
        raise ValueError("it is of another dream")
    snapshots = {
        int(name.removeprefix(_SNAPSHOT)): tensor
        for name, tensor in tensors.items()
        if name.startswith(_SNAPSHOT)
    }
    step = int(about["step"])
    found = Checkpoint(step, tensors["picture"], snapshots, tensors["objective"])
    return Kept(found, about["precision"])
