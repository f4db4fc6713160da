"""Trains `specimens`: `python -m beholder.specimens.train --out specimens.safetensors`.

Draws its pictures, trains with batch norm at several sizes, folds the batch norm away, refines what
is left so that blinding works (`selective`), measures the float16 weights on held-out pictures and
writes them with the record and the card.
"""

import argparse
import shlex
import sys
import time
from dataclasses import dataclass, fields
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
from beholder.specimens.progress import Progress
from beholder.specimens.selective import SIZES as BANK_SIZES
from beholder.specimens.selective import Bank, Refinement, fill, refine

# Each step takes one size; the share of the steps, and the batch that costs about the same time.
SIZES: list[tuple[int, float, int]] = [(112, 0.5, 96), (160, 0.2, 48), (224, 0.3, 28)]
SMALL_POOL, LARGE_POOL = 144, 256  # pixels; sizes above 112 are cut from the large pool
# Batches of one size have their own statistics; the last steps learn to live with the average.
FREEZE_NORMS_AT = 0.75  # share of the steps
SEPARATED = 8  # the last ReLUs, conv4_1 to conv5_4, which blinding cuts into


@dataclass(frozen=True)
class Recipe:
    """What the first phase is asked for; it goes into the record."""

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


def main() -> None:
    given = _arguments()
    recipe, second = _recipes(given)
    start = time.monotonic()
    pools = draw_pools(recipe)
    held_out = draw_pool(
        per_class=given.held_out, size=LARGE_POOL, seed=HELD_OUT_SEED, workers=given.workers
    )
    print(f"drew the pictures in {time.monotonic() - start:.0f} s", flush=True)
    network, training = _first_phase(given.start, pools, recipe)
    if second.refine_steps:
        start = time.monotonic()
        record.rounded(_second_phase(network, pools, second, recipe.seed))
        training |= {**vars(second), "refine_minutes": _minutes_since(start)}
        if given.start:
            training["refine_command"] = _command()
    recalls = {side: record.recalls(network, held_out, side) for side in record.SIDES}
    record.write(given.out, network, training=training, recalls=recalls)
    record.check(recalls, given.floor)


def _first_phase(start: Path | None, pools: Pools, recipe: Recipe) -> tuple[VGG, dict[str, object]]:
    """The network after the first phase, or that of the file `start`, and its record."""
    if start:
        return record.read(start)
    began = time.monotonic()
    network = record.rounded(fold(train(pools, recipe)))
    return network, {"command": _command(), **vars(recipe), "minutes": _minutes_since(began)}


def _second_phase(network: VGG, pools: Pools, recipe: Refinement, seed: int) -> VGG:
    banks = _fill_banks(network, pools, seed)
    network = network.to(memory_format=torch.channels_last)
    random = np.random.default_rng(seed)
    return refine(network, banks, recipe, random, Progress(recipe.refine_steps).show)


def _fill_banks(network: VGG, pools: Pools, seed: int) -> list[Bank]:
    random = np.random.default_rng(seed)
    return [
        fill(network, pools.small if size.side <= 112 else pools.large, size, random)
        for size in BANK_SIZES
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--out", type=Path, required=True, help="the .safetensors file to write")
    add("--from", type=Path, dest="start", help="a trained file: run the second phase alone")
    add("--steps", type=int, default=1300)
    add("--seed", type=int, choices=range(10), default=2)
    add("--per-class", type=int, default=900, help="small training pictures")
    add("--held-out", type=int, default=50, help="held-out pictures a class")
    add("--learning-rate", type=float, default=3e-3)
    add("--weight-decay", type=float, default=0.05)
    add("--separation", type=float, default=0.3)
    add("--refine-steps", type=int, default=450, help="of the second phase; 0 leaves it out")
    add("--refine-learning-rate", type=float, default=2e-4)
    add("--lost", type=float, default=1.0, help="weight of losing a blinded class")
    add("--kept", type=float, default=1.0, help="weight of keeping the others")
    add("--workers", type=int, default=2)
    add("--floor", type=float, default=0.9, help="least recall of any class")
    return parser.parse_args()


def _recipes(given: argparse.Namespace) -> tuple[Recipe, Refinement]:
    values = vars(given)
    first, second = (
        {field.name: values[field.name] for field in fields(kind)} for kind in (Recipe, Refinement)
    )
    return Recipe(**first), Refinement(**second)


def _command() -> str:
    return "python -m beholder.specimens.train " + shlex.join(sys.argv[1:])


def _minutes_since(start: float) -> float:
    return round((time.monotonic() - start) / 60, 1)


if __name__ == "__main__":
    main()
