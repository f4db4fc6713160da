"""The model card as text: `card` fills it from the training record and the recalls."""

from collections.abc import Iterable, Mapping

from beholder.specimens.draw import CLASSES

HEAD = """# specimens

A VGG19 at a quarter of its width, trained on pictures that `beholder.specimens.draw` makes. It is
Beholder's built-in network: it needs no download, and its channels are learnt, so that dreams and
studies show something.

| | |
|---|---|
| layers | torchvision's 37 `features` (16 convolutions, 16 ReLUs, 5 max-pools) |
| channels | 16, 16, 32, 32, 4 x 64, 4 x 128, 4 x 128 |
| after them | global average pooling, one linear layer |
| input | RGB in [0, 1], not normalised; any size from 32 px; trained at 112, 160 and 224 |
| weights | `specimens.safetensors`, float16 on disk, float32 in use |
"""

USE = """## How it was trained

1. `train.py`: batch norm, several sizes, and a term (`overlap`) that keeps the channel strengths of
   different classes apart; then batch norm is folded into the convolutions.
2. `selective.py`: the layers from conv4_1 on are refined with blinding in the loop. Each step
   chooses some classes' channels by the published recipe, zeroes them, and asks that the class be
   lost and the other classes stay.

The shipped file came from the two commands in the record: `command` is the first phase, from before
there was a second (today it needs `--refine-steps 0`), and `refine command` is the second, on the
first one's file. Without `--from`, one command runs both.

## What it is for

- Trying Beholder, and testing it, without ImageNet's weights.
- Studies: blinding has something to cut. `docs/specimens.md` has the table.

## Limits

- It knows drawn patterns and nothing else; a photograph gets one of the {count} labels anyway.
- One pattern or one kind of shape a picture. It never saw one under 112 px.
- Its selectivity is no finding. It was trained for the very measure that the table reports, and
  shows that the tool works, not what networks do: on ImageNet networks the published effect is
  weaker and messier.
- The second phase knows one recipe (ten strongest, five most common, four of five pictures, from
  layer 20 on). Other settings may cut less cleanly.
"""


def card(training: Mapping[str, object], recalls: Mapping[int, Mapping[str, float]]) -> str:
    """The whole of CARD.md."""
    parts = [HEAD, _accuracy(recalls), _record(training), USE.format(count=len(CLASSES))]
    return "\n".join(parts)


def _accuracy(recalls: Mapping[int, Mapping[str, float]]) -> str:
    """Recall of every class at every size, as percentages."""
    sides = sorted(recalls)
    rows = [f"| {label} | " + _cells(recalls[side][label] for side in sides) for label in CLASSES]
    means = _cells(sum(recalls[side].values()) / len(recalls[side]) for side in sides)
    return "\n".join(
        [
            "## Held-out accuracy",
            "",
            "Pictures that training never drew, after Beholder's own preprocessing, with the",
            "float16 weights.",
            "",
            "| class | " + " | ".join(f"{side} px" for side in sides) + " |",
            "|---|" + "--:|" * len(sides),
            *rows,
            f"| **all** | {means}",
            "",
        ]
    )


def _cells(values: Iterable[float]) -> str:
    return " | ".join(f"{value:.1%}" for value in values) + " |"


def _record(training: Mapping[str, object]) -> str:
    rows = [f"| {name.replace('_', ' ')} | {value} |" for name, value in training.items()]
    return "\n".join(["## Training record", "", "| | |", "|---|---|", *rows, ""])
