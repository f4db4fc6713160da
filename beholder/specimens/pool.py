"""Drawn pictures as arrays: `draw_pool` draws them in parallel, `deal` makes varied batches.

Seeds below HELD_OUT_SEED train; the ones from there on are held out.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from beholder.specimens.draw import CLASSES, draw

HELD_OUT_SEED = 1_000_000

Task = tuple[str, int, int]  # label, seed, size


@dataclass(frozen=True)
class Pool:
    """Pictures with the index of their class in CLASSES."""

    pictures: Tensor  # (N, 3, S, S) uint8
    labels: Tensor  # (N,) int64

    def __len__(self) -> int:
        return len(self.labels)


def draw_pool(
    *, per_class: int, size: int, seed: int, workers: int, labels: Sequence[str] = CLASSES
) -> Pool:
    """Draw `per_class` pictures of each label, with seeds from `seed` on, class after class.

    More than one worker means processes, which import the caller's main module anew.
    """
    tasks = [(label, seed + n, size) for label in labels for n in range(per_class)]
    pictures = torch.empty((len(tasks), 3, size, size), dtype=torch.uint8)
    for index, picture in enumerate(_drawn(tasks, workers)):
        pictures[index] = torch.from_numpy(picture)
    indices = torch.tensor([CLASSES.index(label) for label in labels])
    return Pool(pictures, indices.repeat_interleave(per_class))


def _drawn(tasks: list[Task], workers: int) -> Iterator[NDArray[np.uint8]]:
    """The tasks' pictures (3, size, size) in order; one worker is this process."""
    if workers <= 1:
        yield from map(_draw_array, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as processes:
        yield from processes.imap(_draw_array, tasks, chunksize=64)


def _draw_array(task: Task) -> NDArray[np.uint8]:
    label, seed, size = task
    return np.ascontiguousarray(np.asarray(draw(label, seed=seed, size=size)).transpose(2, 0, 1))


def deal(
    pool: Pool, *, batch: int, side: int, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """A random batch: pictures (batch, 3, side, side) in [0, 1] and their labels (batch,).

    Each quarter of the batch is cropped, scaled, turned and mirrored its own way; colours vary by
    picture. Every class looks the same after these changes.
    """
    chosen = torch.from_numpy(random.integers(0, len(pool), batch))
    parts = [_view(pool.pictures[part], side, random) for part in chosen.chunk(4)]
    return _recolour(torch.cat(parts), random).clamp_(0, 1), pool.labels[chosen]


def _view(pictures: Tensor, side: int, random: np.random.Generator) -> Tensor:
    """One random crop, mirrored and turned by a right angle, resized to `side`."""
    size = pictures.shape[-1]
    crop = round(size * random.uniform(0.72, 1.0))
    top, left = random.integers(0, size - crop + 1, 2)
    view = pictures[:, :, top : top + crop, left : left + crop]
    view = torch.rot90(view, int(random.integers(4)), (2, 3))
    view = view.flip(3) if random.random() < 0.5 else view
    return F.interpolate(
        view.float().div_(255), (side, side), mode="bilinear", antialias=crop > side
    )


def _recolour(pictures: Tensor, random: np.random.Generator) -> Tensor:
    """Swap channels, invert, and change contrast and brightness, each picture its own way."""
    count = len(pictures)
    order = torch.from_numpy(random.permuted(np.tile(np.arange(3), (count, 1)), axis=1))
    pictures = pictures[torch.arange(count)[:, None], order]
    contrast = random.uniform(0.7, 1.1, count) * random.choice([1, 1, -1], count)
    shift = random.uniform(-0.08, 0.08, count)
    scale, offset = (torch.from_numpy(v).float().view(-1, 1, 1, 1) for v in (contrast, shift))
    return (pictures - 0.5) * scale + (0.5 + offset)


def preprocess(pictures: Tensor, side: int) -> Tensor:
    """What Beholder does to a picture: shorter side to side*256/224, bicubic; crop; [0, 1]."""
    resized = round(side * 256 / 224)
    if pictures.shape[-1] != resized:
        whole = F.interpolate(
            pictures.float(), (resized, resized), mode="bicubic", antialias=True
        ).round_()
    else:
        whole = pictures.float()
    edge = (resized - side) // 2
    return (whole[:, :, edge : edge + side, edge : edge + side] / 255).clamp_(0, 1)
