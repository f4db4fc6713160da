"""Blinds `specimens` to each class in turn: `python -m beholder.specimens.blinding` prints a table.

The article's recipe: from layer 20 on, the five channels of a layer that are most often among a
picture's ten strongest, as long as they are so in four of five pictures, are zeroed there.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from beholder.science.blind import blinded
from beholder.science.measure import measure
from beholder.science.networks import Network, load_network
from beholder.science.statistics import ChannelStatistics, chosen_channels
from beholder.specimens.draw import CLASSES
from beholder.specimens.pool import HELD_OUT_SEED, Pool, draw_pool, preprocess

CHOOSING_SEED = 2 * HELD_OUT_SEED
FIRST_LAYER = 20
BATCH = 64


@dataclass(frozen=True)
class Row:
    """Shares of held-out pictures named right, intact and blinded."""

    label: str
    channels: int
    recall: tuple[float, float]
    others: tuple[float, float]
    seen_as: str


def choose(network: Network, pictures: Tensor, threshold: int) -> dict[int, tuple[int, ...]]:
    """The channels by layer that the pictures (N, 3, H, W) of one class share."""
    statistics = ChannelStatistics.empty(network.widths)
    statistics.update(measure(network, pictures).strengths, range(len(pictures)))
    return chosen_channels(statistics, min_layer=FIRST_LAYER, threshold=threshold)


def inputs(network: Network, pool: Pool, side: int) -> Tensor:
    """What layer FIRST_LAYER is given for each picture; no blinding changes it."""
    first = network.module.features[:FIRST_LAYER]
    chunks = (pool.pictures[start : start + BATCH] for start in range(0, len(pool), BATCH))
    with torch.inference_mode():
        return torch.cat([first(preprocess(chunk, side)) for chunk in chunks])


def predict(network: Network, before: Tensor) -> Tensor:
    """Class indices (N,) from the inputs of layer FIRST_LAYER."""
    module = network.module
    named = []
    with torch.inference_mode():
        for start in range(0, len(before), BATCH):
            # A copy, since layer FIRST_LAYER is a ReLU that works in place.
            maps = module.features[FIRST_LAYER:](before[start : start + BATCH].clone())
            named.append(module.classifier(module.avgpool(maps).flatten(1)).argmax(1))
    return torch.cat(named)


def study(
    network: Network, choosing: Pool, held_out: Pool, *, side: int, threshold: int
) -> list[Row]:
    """One row for each class that has choosing pictures."""
    before = inputs(network, held_out, side)
    intact = predict(network, before)
    rows = []
    for index in sorted(set(choosing.labels.tolist())):
        pictures = choosing.pictures[choosing.labels == index]
        cut = choose(network, preprocess(pictures, side), threshold)
        with blinded(network, cut):
            named = predict(network, before)
        channels = sum(len(picked) for picked in cut.values())
        rows.append(_row(index, channels, held_out.labels, intact, named))
    return rows


def _row(index: int, channels: int, labels: Tensor, intact: Tensor, blind: Tensor) -> Row:
    target = labels == index

    def share(named: Tensor, among: Tensor) -> float:
        return (named == labels)[among].float().mean().item()

    return Row(
        label=CLASSES[index],
        channels=channels,
        recall=(share(intact, target), share(blind, target)),
        others=(share(intact, ~target), share(blind, ~target)),
        seen_as=CLASSES[int(blind[target].mode().values)],
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


def update(page: Path, text: str, *, name: str = "blinding") -> None:
    """Put `text` between the page's markers of a table. Raises ValueError where one is missing."""
    begin, end = f"<!-- {name} table: begin -->", f"<!-- {name} table: end -->"
    content = page.read_text()
    if begin not in content or end not in content:
        raise ValueError(f"{page} has no lines {begin} and {end}; add them where the table goes.")
    before, rest = content.split(begin, 1)
    page.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=5, help="choosing pictures a class")
    parser.add_argument("--threshold", type=int, default=4, help="least count of a cut channel")
    parser.add_argument("--held-out", type=int, default=20, help="test pictures a class")
    parser.add_argument("--side", type=int, default=224, help="pixels")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", type=Path, help="the page whose table is to be updated")
    given = parser.parse_args()
    choosing, held_out = (
        draw_pool(per_class=count, size=256, seed=seed, workers=given.workers)
        for count, seed in ((given.pictures, CHOOSING_SEED), (given.held_out, HELD_OUT_SEED))
    )
    rows = study(
        load_network("specimens"), choosing, held_out, side=given.side, threshold=given.threshold
    )
    print(text := table(rows))
    if given.write:
        update(given.write, text)


if __name__ == "__main__":
    main()
