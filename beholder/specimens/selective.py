"""The second phase of training: `refine` makes blinding a class remove it, and little else.

Each step blinds the network to some classes by the published recipe, on the batch itself, and
teaches what is left: the class must be lost, the others must stay. What lies below the first layer
that blinding cuts is frozen, so its outputs are computed once (`Bank`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.vgg import VGG

from beholder.science.measure import ranked
from beholder.specimens.draw import CLASSES
from beholder.specimens.pool import Pool, deal

FROZEN = 19  # modules of `features` that stay as they are; the next ReLU is the first that is cut
TOP, MOST_COMMON, CHOOSING, THRESHOLD = 10, 5, 5, 4  # the published recipe's numbers

Show = Callable[[int, float, int, int], None]  # step, loss, right, count


@dataclass(frozen=True)
class Size:
    """side: of the pictures, in pixels. views: in the bank. share: of the steps."""

    side: int
    views: int
    share: float
    classes: int  # that a batch shows
    pictures: int  # of each; the first CHOOSING choose the channels


SIZES = (
    Size(side=112, views=12_000, share=0.45, classes=10, pictures=8),
    Size(side=160, views=5_000, share=0.2, classes=7, pictures=7),
    Size(side=224, views=6_000, share=0.35, classes=5, pictures=7),
)


@dataclass(frozen=True)
class Refinement:
    """What the second phase is asked for; it goes into the record."""

    refine_steps: int
    refine_learning_rate: float
    lost: float  # weight of losing the class
    kept: float  # weight of keeping the others


@dataclass(frozen=True)
class Bank:
    """What the frozen layers make of many varied pictures of one size, class by class."""

    size: Size
    maps: Tensor  # (N, C, h, w) float16
    places: tuple[Tensor, ...]  # for each class, its rows in `maps`

    def batch(self, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Maps (classes * pictures, C, h, w), class after class, and their labels."""
        picked = random.choice(len(CLASSES), self.size.classes, replace=False)
        rows = [random.choice(self.places[label], self.size.pictures) for label in picked]
        labels = torch.from_numpy(picked).repeat_interleave(self.size.pictures)
        return self.maps[np.concatenate(rows)].float(), labels


def fill(network: VGG, pool: Pool, size: Size, random: np.random.Generator) -> Bank:
    """Deal `size.views` pictures and keep what the frozen layers make of them."""
    parts, labels = [], []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for _ in range(-(-size.views // 64)):
            pictures, named = deal(pool, batch=64, side=size.side, random=random)
            pictures = pictures.to(memory_format=torch.channels_last)
            parts.append(network.features[:FROZEN](pictures).half())
            labels.append(named)
    named = torch.cat(labels)
    places = tuple((named == index).nonzero()[:, 0] for index in range(len(CLASSES)))
    return Bank(size, torch.cat(parts), places)


def refine(
    network: VGG, banks: list[Bank], recipe: Refinement, random: np.random.Generator, show: Show
) -> VGG:
    """Train the layers from FROZEN on, in place; AdamW, one cycle, bfloat16 products."""
    network.requires_grad_(False)
    trained = nn.ModuleList([network.features[FROZEN:], network.classifier]).requires_grad_(True)
    optimizer = torch.optim.AdamW(
        trained.parameters(), lr=recipe.refine_learning_rate, weight_decay=0.01
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.refine_learning_rate, recipe.refine_steps, pct_start=0.1
    )
    shares = [bank.size.share for bank in banks]
    for step in range(1, recipe.refine_steps + 1):
        bank = banks[random.choice(len(banks), p=shares)]
        maps, labels = bank.batch(random)
        loss, right = _loss(network, maps, labels, bank.size, recipe, random)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        show(step, loss.item(), right, len(labels))
    return network.requires_grad_(True)


def _loss(
    network: VGG,
    maps: Tensor,
    labels: Tensor,
    size: Size,
    recipe: Refinement,
    random: np.random.Generator,
) -> tuple[Tensor, int]:
    """The intact loss, what blinding leaves of the blinded class, and what it takes from others."""
    maps = maps.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        first, strengths, intact = run(network, maps)
        masks = shared(strengths, size.classes)
        own = torch.arange(size.classes).repeat_interleave(size.pictures)  # (B,)
        other = (own + torch.from_numpy(random.integers(1, size.classes, len(own)))) % size.classes
        kept = run(network, first, [mask[other] for mask in masks])[2]
        lost = run(network, first, [mask[own] for mask in masks])[2]
    loss = F.cross_entropy(intact, labels)
    loss = loss + recipe.kept * F.cross_entropy(kept, labels)
    # -log(1 - p), by the other classes' logits so that p = 1 stays finite.
    absent = lost.scatter(1, labels[:, None], -torch.inf).logsumexp(1)
    loss = loss + recipe.lost * (lost.logsumexp(1) - absent).mean()
    return loss, int((intact.argmax(1) == labels).sum())


def run(
    network: VGG, maps: Tensor, masks: list[Tensor] | None = None
) -> tuple[Tensor, list[Tensor], Tensor]:
    """The first cut layer's maps, channel strengths (B, C) at every cut layer, logits (B, classes).

    Without masks, `maps` are those that the frozen layers give. With masks, one (B, C) for each
    cut layer, they are the first cut layer's.
    """
    strengths: list[Tensor] = []
    first = x = maps
    start = FROZEN
    if masks:
        x, start = x * masks[0][:, :, None, None], FROZEN + 2
        strengths.append(_strengths(x))
    for layer in network.features[start:]:
        x = layer(x)
        if isinstance(layer, nn.Conv2d):  # cut as its ReLU is, since that works in place
            continue
        if masks:
            x = x * masks[len(strengths)][:, :, None, None]
        elif not strengths:
            first = x
        strengths.append(_strengths(x))
    logits = network.classifier(network.avgpool(x).flatten(1)).float()
    return first, strengths, logits


@torch.no_grad()
def _strengths(maps: Tensor) -> Tensor:
    """(B, C, h, w) to (B, C)."""
    norms: Tensor = torch.linalg.vector_norm(maps.float(), dim=(2, 3))
    return norms


def shared(strengths: list[Tensor], classes: int) -> list[Tensor]:
    """For each layer (classes, C): nought for what a class's first CHOOSING pictures share.

    strengths: (B, C) of each layer, class after class, as many pictures of each.
    """
    grouped = [layer.view(classes, -1, layer.shape[1]) for layer in strengths]
    return [_mask(layer[:, :CHOOSING]) for layer in grouped]


def _mask(strength: Tensor) -> Tensor:
    """(classes, CHOOSING, C) to (classes, C): the published choice, ties included."""
    classes, pictures, channels = strength.shape
    order, above = ranked(strength.flatten(0, 1), TOP, 0.0)  # (classes * CHOOSING, TOP)
    late = pictures * TOP  # later than any place a channel could be met at
    place = torch.full((classes * pictures, channels), late)
    ranks = torch.where(above, torch.arange(order.shape[1]), late)
    offset = (torch.arange(len(order)) % pictures * TOP)[:, None]
    place = place.scatter(1, order, ranks + torch.where(above, offset, 0))
    place = place.view(classes, pictures, channels)
    count = (place < late).sum(1)  # (classes, C)
    best = (count * (late + 1) - place.amin(1)).topk(MOST_COMMON, 1).indices
    cut = torch.zeros(classes, channels, dtype=torch.bool).scatter(1, best, True)
    return (~(cut & (count >= THRESHOLD))).float()
