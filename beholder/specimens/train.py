"""Trains `specimens`: `python -m beholder.specimens.train --out specimens.safetensors`.

Draws its pictures, trains with batch norm at several sizes, folds the batch norm away, measures
the float16 weights on held-out pictures and writes them with the record and the card.
"""

import argparse
import math
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.vgg import VGG

from beholder.specimens import record
from beholder.specimens.architecture import build, fold
from beholder.specimens.draw import CLASSES
from beholder.specimens.pool import HELD_OUT_SEED, Pool, deal, draw_pool

# Each step takes one size; the share of the steps, and the batch that costs about the same time.
SIZES: list[tuple[int, float, int]] = [(112, 0.5, 96), (160, 0.2, 48), (224, 0.3, 28)]
SMALL_POOL, LARGE_POOL = 144, 256  # pixels; sizes above 112 are cut from the large pool
# Batches of one size have their own statistics; the last steps learn to live with the average.
FREEZE_NORMS_AT = 0.75  # share of the steps
SEPARATED = 8  # the last ReLUs, conv4_1 to conv5_4, which blinding cuts into


@dataclass(frozen=True)
class Recipe:
    """What training is asked for; it goes into the record."""

    steps: int
    seed: int
    per_class: int
    learning_rate: float
    weight_decay: float
    separation: float
    workers: int


@dataclass(frozen=True)
class Pools:
    """The same classes drawn at two sizes, from different seeds."""

    small: Pool
    large: Pool

    def batch(self, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        side, _, count = SIZES[random.choice(len(SIZES), p=[share for _, share, _ in SIZES])]
        pool = self.small if side <= 112 else self.large
        return deal(pool, batch=count, side=side, random=random)


def draw_pools(recipe: Recipe) -> Pools:
    """Draw the training pictures; the large ones are a third as many."""
    first = recipe.seed * 100_000  # each training seed has its own pictures
    small = draw_pool(
        per_class=recipe.per_class, size=SMALL_POOL, seed=first, workers=recipe.workers
    )
    large = draw_pool(
        per_class=recipe.per_class // 3,
        size=LARGE_POOL,
        seed=first + recipe.per_class,
        workers=recipe.workers,
    )
    return Pools(small, large)


def train(pools: Pools, recipe: Recipe) -> VGG:
    """Train with batch norm for `recipe.steps` steps; AdamW, one cycle, bfloat16 products."""
    torch.manual_seed(recipe.seed)
    random = np.random.default_rng(recipe.seed)
    network = build(len(CLASSES), batch_norm=True).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, recipe.steps, pct_start=0.15
    )
    progress = Progress(recipe.steps)
    network.train()
    for step in range(1, recipe.steps + 1):
        if step == round(recipe.steps * FREEZE_NORMS_AT):
            network.eval()  # nothing but the norms tells the modes apart
        pictures, labels = pools.batch(random)
        loss, right = _step(network, optimizer, pictures, labels, recipe.separation)
        schedule.step()
        progress.show(step, loss, right, len(labels))
    return network.eval()


def _step(
    network: VGG,
    optimizer: torch.optim.Optimizer,
    pictures: Tensor,
    labels: Tensor,
    separation: float,
) -> tuple[float, int]:
    """One update; returns the loss and how many were classified right."""
    pictures = pictures.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        maps, last = late_maps(network, pictures)
        logits = network.classifier(network.avgpool(last).flatten(1)).float()
    loss = F.cross_entropy(logits, labels) + separation * overlap(maps, labels)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimizer.step()
    return loss.item(), int((logits.argmax(1) == labels).sum())


def late_maps(network: VGG, pictures: Tensor) -> tuple[list[Tensor], Tensor]:
    """The maps after the last SEPARATED ReLUs, each (B, C, h, w), and the output of `features`."""
    maps, x = [], pictures
    for layer in network.features:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            maps.append(x)
    return maps[-SEPARATED:], x


def overlap(maps: list[Tensor], labels: Tensor) -> Tensor:
    """How alike the channel strengths of different classes are: mean cosine, 0..1.

    Without this term the strongest channels answer to most classes, and blinding one class takes
    its neighbours along.
    """
    differ = labels[:, None] != labels  # (B, B)
    alike = []
    for x in maps:
        strength = (x.float().square().sum((2, 3)) + 1e-6).sqrt()  # (B, C)
        unit = F.normalize(strength, dim=1)
        alike.append((unit @ unit.T)[differ].mean())
    return torch.stack(alike).mean()


class Progress:
    """A line every few seconds: loss, accuracy, rate and time left."""

    def __init__(self, steps: int, *, every_s: float = 10.0) -> None:
        self.steps, self.every_s = steps, every_s
        self.start = self.shown = time.monotonic()
        self.seen = self.right = self.total = 0

    def show(self, step: int, loss: float, right: int, count: int) -> None:
        self.right, self.seen, self.total = (
            self.right + right,
            self.seen + count,
            self.total + count,
        )
        now = time.monotonic()
        if not math.isfinite(loss):
            raise RuntimeError(f"The loss is {loss} at step {step}; lower --learning-rate.")
        if now - self.shown < self.every_s and step < self.steps:
            return
        rate = self.total / (now - self.start)
        left_s = (now - self.start) / step * (self.steps - step)
        print(
            f"step {step}/{self.steps}  loss {loss:.3f}  accuracy {self.right / self.seen:.1%}  "
            f"{rate:.0f} pictures/s  {left_s / 60:.1f} min left",
            flush=True,
        )
        self.shown, self.right, self.seen = now, 0, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--steps", type=int, default=1300)
    parser.add_argument("--seed", type=int, choices=range(10), default=2)
    parser.add_argument("--per-class", type=int, default=900, help="small training pictures")
    parser.add_argument("--held-out", type=int, default=50, help="held-out pictures a class")
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--separation", type=float, default=0.3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--floor", type=float, default=0.9, help="least recall of any class")
    given = parser.parse_args()
    recipe = Recipe(
        steps=given.steps,
        seed=given.seed,
        per_class=given.per_class,
        learning_rate=given.learning_rate,
        weight_decay=given.weight_decay,
        separation=given.separation,
        workers=given.workers,
    )
    start = time.monotonic()
    pools = draw_pools(recipe)
    held_out = draw_pool(
        per_class=given.held_out, size=LARGE_POOL, seed=HELD_OUT_SEED, workers=given.workers
    )
    print(f"drew the pictures in {time.monotonic() - start:.0f} s", flush=True)
    start = time.monotonic()
    network = record.rounded(fold(train(pools, recipe)))
    minutes = (time.monotonic() - start) / 60
    recalls = {side: record.recalls(network, held_out, side) for side in record.SIDES}
    record.write(given.out, network, recipe=_described(recipe), recalls=recalls, minutes=minutes)
    record.check(recalls, given.floor)


def _described(recipe: Recipe) -> dict[str, object]:
    command = "python -m beholder.specimens.train " + shlex.join(sys.argv[1:])
    return {"command": command, **vars(recipe)}


if __name__ == "__main__":
    main()
