"""docs/gallery.md, all of it: what was asked, who took part, and what came of it in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from benchmarks.gallery_sides import Side

_TINY = 1e-9
_HEAD = """\
# Gallery

Feature pictures beside those of the tools that people know: the same network, layer and channels,
and the same processor time for each picture. The network is the built-in one, which knows drawn
patterns and shapes, so that anybody can make this page again:

```sh
pip install -e '.[worker,bench]'    # in Beholder's folder
python -m benchmarks.gallery
```

- **Objective**: the channel's mean, after 8 bits and under {held_out} transforms that no side was
  optimised with: turned, moved, scaled and sheared by another library.
- **High frequencies**: the share of energy in waves faster than a quarter a pixel, in brightness. A
  picture of noise has most of it there.
- **Time** is that of the process, on one core: each picture of {size} px takes {seconds:g} s of it,
  its start included, and each side as many steps as it has time for. The sides take turns, so that
  what else the machine does slows all of them.
- **Channels** are {channels}: of {layer}, those that a class of drawn pictures excites by the
  widest margin. How fast `feature`'s waves weaken was tuned on others ({tuned}), once a first run
  on these had reached 2 to 5% less than lucent on three of four; nothing was tuned after it.
- lucent has its own colours, which are ImageNet's, transforms and optimiser, and runs the whole
  network, as it always does. Horama is the MACO authors' own code for torch, with the crops and the
  magnitudes that ours takes; its own magnitudes are fetched from elsewhere. It is given only the
  layers that it needs. All weights are frozen. Each side has one seed a channel.
"""


@dataclass(frozen=True)
class Reached:
    """What one side came to, by channel. seconds, steps: the mean of its pictures'."""

    side: Side
    seconds: float
    steps: float
    objective: Sequence[float]
    fast: Sequence[float]


def page(
    reached: Sequence[Reached],
    channels: Sequence[str],
    missing: Sequence[str],
    shown: Sequence[tuple[str, str]],
    **asked: object,
) -> str:
    """The page. shown: names and descriptions of its pictures; asked: what its head says."""
    pictures = [
        f"**{name}**: {text}\n\n![{text}](pictures/gallery-{name}.jpg)" for name, text in shown
    ]
    parts = [
        _HEAD.format(channels=", ".join(channels), **asked).rstrip(),
        "## What came of it",
        *_summary(reached, channels),
        "Objective under held-out transforms; more is better.",
        _table(reached, channels, [[f"{one:.2f}" for one in row.objective] for row in reached]),
        "Share of energy in high frequencies; less is cleaner.",
        _table(reached, channels, [[f"{one:.2%}" for one in row.fast] for row in reached]),
        *missing,
        "## Pictures",
        *pictures,
    ]
    return "\n\n".join(parts) + "\n"


def _summary(reached: Sequence[Reached], channels: Sequence[str]) -> list[str]:
    by_name = {one.side.name: one for one in reached}
    pairs = [
        (one, by_name[one.side.against])
        for one in reached
        if one.side.against is not None and one.side.against in by_name
    ]
    found = [_compared(ours, theirs, channels) for ours, theirs in pairs]
    most, least = (pick(one.seconds for one in reached) for pick in (max, min))
    few = f"{len(channels)} channels of one small network are no proof: run it with yours."
    return [*found, f"The slowest side took {most / least - 1:.1%} longer than the fastest. {few}"]


def _compared(ours: Reached, theirs: Reached, channels: Sequence[str]) -> str:
    """Where ours is ahead, and by how much it is not where it is not."""
    name, other = ours.side.name, theirs.side.name
    both = list(
        zip(channels, ours.objective, theirs.objective, ours.fast, theirs.fast, strict=True)
    )
    better = sum(mine > its for _, mine, its, _, _ in both)
    cleaner = sum(mine < its for _, _, _, mine, its in both)
    text = (
        f"`{name}` reached a higher objective than {other} on {better} of {len(both)} channels, "
        f"and had a smaller share of high frequencies on {cleaner} of {len(both)}."
    )
    short = [
        f"{channel} ({mine:.2f}, {other} {its:.2f}: {(mine - its) / max(its, _TINY):+.1%})"
        for channel, mine, its, _, _ in both
        if mine <= its
    ]
    rough = [
        f"{channel} ({mine:.2%}, {other} {its:.2%})"
        for channel, _, _, mine, its in both
        if mine >= its
    ]
    if short:
        text += f" It reached no more on {', '.join(short)}."
    if rough:
        text += f" It was no cleaner on {', '.join(rough)}."
    return text


def _table(
    reached: Sequence[Reached], channels: Sequence[str], values: Sequence[Sequence[str]]
) -> str:
    head = ["side", "steps", "s", *channels]
    rows = [
        [_about(one.side), f"{one.steps:.0f}", f"{one.seconds:.1f}", *row]
        for one, row in zip(reached, values, strict=True)
    ]
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *rows])


def _about(side: Side) -> str:
    try:
        return f"**{side.name}** ({side.package} {version(side.package)})"
    except PackageNotFoundError:
        return f"**{side.name}** ({side.package})"
