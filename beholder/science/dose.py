"""How many channels a study's headline ablates: `pick_dose`, on tuning pictures."""

from collections.abc import Mapping
from dataclasses import dataclass

from beholder.errors import InvalidInput

MOST_RECALL = 0.02
MOST_P = 0.1


@dataclass(frozen=True)
class Tuned:
    """What a dose did to tuning pictures, as shares of them.

    recall: of the targets, still named right. lost: of the others, named right before and not now,
    less those the other way round. p_target: the mean probability that the targets' class keeps;
    it shows what a handful of tuning pictures does not, that the dose is a near thing.
    """

    recall: float
    lost: float
    p_target: float = 0.0


def pick_dose(
    tuned: Mapping[int, Tuned], *, most_recall: float = MOST_RECALL, most_p: float = MOST_P
) -> int:
    """The dose, of those tried, that is to be tested.

    Of the doses that leave at most `most_recall` of the targets, and at most `most_p` of their
    class's probability, the one that costs the others least. Where there is none, the most
    selective: what the targets lose less what the others do is greatest. Among equals the smallest.
    Raises InvalidInput where none was tried.
    """
    if not tuned:
        raise InvalidInput("doses: try one at least on the tuning pictures.")
    enough = [
        dose
        for dose, found in tuned.items()
        if found.recall <= most_recall and found.p_target <= most_p
    ]
    if enough:
        return min(enough, key=lambda dose: (max(tuned[dose].lost, 0.0), dose))
    return min(tuned, key=lambda dose: (tuned[dose].recall + tuned[dose].lost, dose))
