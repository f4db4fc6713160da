"""Blinds `specimens` to each class in turn: `python -m beholder.specimens.blinding` prints a table.

The article's recipe: from layer 20 on, the five channels of a layer that are most often among a
picture's ten strongest, as long as they are so in four of five pictures, are zeroed there.
"""

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models.vgg import VGG

from beholder.specimens.draw import CLASSES
from beholder.specimens.pool import HELD_OUT_SEED, Pool, draw_pool, preprocess
from beholder.specimens.weights import load

CHOOSING_SEED = 2 * HELD_OUT_SEED
FIRST_LAYER, TOP, MOST = 20, 10, 5
BEGIN, END = "<!-- blinding table: begin -->", "<!-- blinding table: end -->"

Cut = dict[int, list[int]]  # layer: channels


@dataclass(frozen=True)
class Row:
    """Shares of held-out pictures named right, intact and blinded."""

    label: str
    channels: int
    recall: tuple[float, float]
    others: tuple[float, float]
    seen_as: str


def choose(network: VGG, pictures: Tensor, threshold: int) -> Cut:
    """The channels that the pictures (N, 3, H, W) of one class share, by layer."""
    cut: Cut = {}
    with torch.inference_mode():
        x = pictures
        for index, layer in enumerate(network.features):
            x = layer(x)
            after = network.features[index + 1](x.clone()) if _is_conv(layer) else x
            if index >= FIRST_LAYER and (shared := _shared(after, threshold)):
                cut[index] = shared
    return cut


def _is_conv(layer: torch.nn.Module) -> bool:
    return isinstance(layer, torch.nn.Conv2d)


def _shared(maps: Tensor, threshold: int) -> list[int]:
    """The most common top channels of the maps (N, C, h, w), most common first."""
    counts: Counter[int] = Counter()
    for strength in maps.flatten(2).norm(dim=2):  # (C,)
        # Ties go to the higher index: sort the channels from the last to the first.
        order = strength.flip(0).argsort(descending=True, stable=True)[:TOP]
        top = (len(strength) - 1 - order).tolist()
        counts.update(channel for channel in top if strength[channel] > 0)
    return [channel for channel, count in counts.most_common(MOST) if count >= threshold]


def predict(network: VGG, before: Tensor, cut: Cut, *, batch: int = 64) -> Tensor:
    """Class indices (N,) from the inputs of layer FIRST_LAYER, with the cut channels zeroed."""
    named = []
    with torch.inference_mode():
        for start in range(0, len(before), batch):
            x = before[start : start + batch].clone()
            for index, layer in enumerate(network.features[FIRST_LAYER:], FIRST_LAYER):
                x = layer(x)
                x[:, cut.get(index, [])] = 0
            named.append(network.classifier(network.avgpool(x).flatten(1)).argmax(1))
    return torch.cat(named)


def inputs(network: VGG, pool: Pool, side: int, *, batch: int = 64) -> Tensor:
    """What layer FIRST_LAYER is given for each picture of the pool."""
    first = network.features[:FIRST_LAYER]
    chunks = (pool.pictures[start : start + batch] for start in range(0, len(pool), batch))
    with torch.inference_mode():
        return torch.cat([first(preprocess(chunk, side)) for chunk in chunks])


def study(network: VGG, choosing: Pool, held_out: Pool, *, side: int, threshold: int) -> list[Row]:
    """One row for each class that has choosing pictures."""
    before = inputs(network, held_out, side)
    intact = predict(network, before, {})
    rows = []
    for index in sorted(set(choosing.labels.tolist())):
        pictures = choosing.pictures[choosing.labels == index]
        cut = choose(network, preprocess(pictures, side), threshold)
        blinded = predict(network, before, cut)
        rows.append(_row(index, cut, held_out.labels, intact, blinded))
    return rows


def _row(index: int, cut: Cut, labels: Tensor, intact: Tensor, blinded: Tensor) -> Row:
    target = labels == index

    def share(named: Tensor, among: Tensor) -> float:
        return (named == labels)[among].float().mean().item()

    return Row(
        label=CLASSES[index],
        channels=sum(len(channels) for channels in cut.values()),
        recall=(share(intact, target), share(blinded, target)),
        others=(share(intact, ~target), share(blinded, ~target)),
        seen_as=CLASSES[int(blinded[target].mode().values)],
    )


def table(rows: list[Row]) -> str:
    """The rows and their mean as a Markdown table."""
    lines = [
        "| blinded to | channels | recall, intact | recall, blinded | others, intact "
        "| others, blinded | now mostly seen as |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        shares = " | ".join(f"{share:.0%}" for share in (*row.recall, *row.others))
        lines.append(f"| {row.label} | {row.channels} | {shares} | {row.seen_as} |")
    numbers = torch.tensor([(row.channels, *row.recall, *row.others) for row in rows]).mean(0)
    shares = " | ".join(f"{share:.0%}" for share in numbers[1:].tolist())
    lines.append(f"| **mean** | {numbers[0]:.0f} | {shares} | |")
    return "\n".join(lines)


def update(page: Path, text: str) -> None:
    """Put `text` between the page's two markers. Raises ValueError where a marker is missing."""
    content = page.read_text()
    if BEGIN not in content or END not in content:
        raise ValueError(f"{page} has no lines {BEGIN} and {END}; add them where the table goes.")
    before, rest = content.split(BEGIN, 1)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=5, help="choosing pictures a class")
    parser.add_argument("--threshold", type=int, default=4, help="least count of a cut channel")
    parser.add_argument("--held-out", type=int, default=50, help="test pictures a class")
    parser.add_argument("--side", type=int, default=224, help="pixels")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", type=Path, help="the page whose table is to be updated")
    given = parser.parse_args()
    choosing, held_out = (
        draw_pool(per_class=count, size=256, seed=seed, workers=given.workers)
        for count, seed in ((given.pictures, CHOOSING_SEED), (given.held_out, HELD_OUT_SEED))
    )
    rows = study(load(), choosing, held_out, side=given.side, threshold=given.threshold)
    print(text := table(rows))
    if given.write:
        update(given.write, text)


if __name__ == "__main__":
    main()
