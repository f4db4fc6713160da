"""The library alone, for `service` to be held against: plain loops, one thing after another.

`dreams` is what a notebook would do with a folder. The others are parts of the work by
themselves.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from beholder.pictures import decode
from beholder.science.blind import blinded, classify
from beholder.science.dream import dream
from beholder.science.inputs import to_tensor
from beholder.science.measure import measure
from beholder.science.networks import Network
from beholder.science.prefix import Precision
from beholder.specs import DreamSpec
from worker.encoding import png


def load(files: Sequence[Path], size: int) -> Tensor:
    """Pictures of `files`, (B, 3, size, size)."""
    return torch.stack([to_tensor(decode(file.read_bytes()), size=size) for file in files])


def dreams(
    network: Network,
    spec: DreamSpec,
    files: Sequence[Path],
    *,
    precision: Precision,
    batch: int,
    folder: Path,
) -> None:
    """Decode, dream, encode and write each picture, `batch` of them at a time."""
    for some in batched(files, batch):
        result = dream(
            network,
            load(some, int(spec.size)).to(network.device),
            layer=spec.layers[0],
            steps=spec.steps,
            learning_rate=spec.learning_rate,
            precision=precision,
        )
        for file, picture in zip(some, result.pictures, strict=True):
            (folder / f"{file.stem}.png").write_bytes(png(picture).data)


def dreaming(
    network: Network, spec: DreamSpec, pictures: Tensor, count: int, *, precision: Precision
) -> None:
    """The device's part of `dreams` alone: `pictures` (B, 3, H, W) again and again."""
    done = 0
    while done < count:
        some = pictures[: count - done]
        dream(network, some, layer=spec.layers[0], steps=spec.steps, precision=precision)
        done += len(some)


def decoding(files: Sequence[Path], size: int, threads: int) -> None:
    """A study's decoding alone: each picture for both of its stages, on threads as a worker's."""
    with ThreadPoolExecutor(threads, "decoding", torch.set_num_threads, (1,)) as pool:
        for _ in range(2):
            list(pool.map(lambda file: load([file], size).shape, files))


def forward(network: Network, pictures: Tensor, count: int) -> None:
    """A study's passes alone: `count` pictures measured, then classified with a channel blinded.

    pictures: (B, 3, H, W), again and again.
    """
    batches = [pictures[: count - done] for done in range(0, count, len(pictures))]
    for some in batches:
        measure(network, some)
    with blinded(network, {35: (0,)}):
        for some in batches:
            classify(network, some)


def batched(files: Sequence[Path], size: int) -> Iterator[Sequence[Path]]:
    """`files`, at most `size` at a time."""
    for start in range(0, len(files), size):
        yield files[start : start + size]
