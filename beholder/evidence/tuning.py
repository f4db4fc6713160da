"""How many channels the headline ablates: `tuned_dose` asks the tuning pictures.

`picked_by` says who picked it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from beholder.evidence.conditions import Channels
from beholder.evidence.rankings import Contest, Ranker
from beholder.science.ablation import Ablation
from beholder.science.dose import MOST_P, MOST_RECALL, Tuned, pick_dose
from beholder.science.fills import Fills
from beholder.science.sweep import sweep
from beholder.specs import StudySpec

UNTUNED_DOSE = 20


def tuned_dose(
    ranker: Ranker, contest: Contest, sets: Mapping[int, Channels], fills: Fills | None
) -> tuple[int, tuple[int, int]]:
    """The dose that `pick_dose` takes, of sets of channels by their dose; on how many pictures.

    Those are targets, then others. contest: tuning pictures, of which those at hand are run. fills:
    what the headline's mode puts in. A target is recalled where the target's class is seen; another
    is lost where what the intact network saw in it is not.
    """
    spec = ranker.spec
    hand = ranker.at_hand([*contest.targets, *contest.others])
    own = ranker.seen(hand.rows)
    found = sweep(
        ranker.network,
        hand.pictures,
        [Ablation(channels, mode=spec.mode, alpha=spec.alpha) for channels in sets.values()],
        target=contest.goal,
        own=own,
        kept=(),
        fills=fills,
        positions=ranker.answers.positions[hand.rows].tolist(),
        normalize=spec.normalize,
        on_part=lambda done: ranker.told(),
    )
    targets = np.isin(hand.rows, contest.targets)  # (n,)
    others = ~targets & (np.array(own) != contest.goal)  # who is seen as the target is to lose it
    recalled = found.label[1:, targets] == contest.goal
    kept = found.label[1:, others] == np.array(own)[others]
    dose = pick_dose(
        {
            dose: Tuned(
                recall=float(recalled[place].mean()),
                lost=float(1 - kept[place].mean()) if others.any() else 0.0,
                p_target=float(found.p_target[1 + place, targets].mean()),
            )
            for place, dose in enumerate(sets)
        }
    )
    return dose, (int(targets.sum()), int((~targets).sum()))


def picked_by(spec: StudySpec, tuned_on: tuple[int, int] | None) -> dict[str, Any]:
    """Who picked the headline's dose and by which rule, for the record.

    tuned_on: targets, then others; None where nothing was tuned.
    """
    if spec.dose is not None:
        return {"by": "name"}
    if tuned_on is None:
        return {"by": "default", "largest_up_to": UNTUNED_DOSE}
    targets, others = tuned_on
    return {
        "by": "tuning",
        "tuned_on": {"targets": targets, "others": others},
        "most_recall": MOST_RECALL,
        "most_p_target": MOST_P,
    }
