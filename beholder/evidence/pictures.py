"""A study's pictures under its headline: `picture_rows` and their `raw_logits`, `counts`, where
p(target) `went`.
"""

from collections.abc import Sequence

from beholder.evidence.document import PictureRow
from beholder.evidence.logits import Logits
from beholder.evidence.names import Role, Split
from beholder.evidence.plan import Subject
from beholder.evidence.readings import Readings
from beholder.evidence.sample import ROLES, Sample


def counts(sample: Sample) -> dict[Split, dict[Role, int]]:
    """How many pictures served for what: planned ones, of test pictures those that were read."""
    served: list[Subject] = [one for one in sample.plan.subjects if one.split != "test"]
    served += [one for one in sample.subjects if one.split == "test"]
    found: dict[Split, dict[Role, int]] = {}
    for split in ("choose", "tune", "test", "duplicate"):
        roles = [one.role for one in served if one.split == split]
        if roles:
            found[split] = {role: roles.count(role) for role in ROLES if role in roles}
    return found


def picture_rows(sample: Sample, labels: Sequence[str]) -> tuple[PictureRow, ...]:
    """All that were run under the headline, of any split, by position."""
    run, read = sample.headline, sample.readings
    found = []
    for place, one in enumerate(sample.subjects):
        if not run.ran[place]:
            continue
        row = int(sample.rows[place])
        found.append(
            PictureRow(
                **one.model_dump(exclude={"label", "fold"}),
                intact_label=labels[int(read.label[0, row])],
                blinded_label=labels[int(run.label[place])],
                intact_log_odds=float(read.margin[0, row]),
                blinded_log_odds=float(run.margin[place]),
                intact_p=float(read.p_target[0, row]),
                blinded_p=float(run.p_target[place]),
            )
        )
    return tuple(found)


def raw_logits(rows: Sequence[PictureRow], readings: Readings) -> Logits:
    """Those of `picture_rows`."""
    places = {position: place for place, position in enumerate(readings.positions.tolist())}
    wanted = [places[row.position] for row in rows]
    intact, blinded = readings.logits[:, wanted]
    return Logits(readings.positions[wanted], intact, blinded)


def went(sample: Sample, labels: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """What each class gained in mean probability on the target test pictures, the most first."""
    tested = sample.targets & sample.headline.ran
    if not tested.any():
        return ()
    gained = sample.readings.gained[sample.rows[tested]].mean(axis=0)  # (classes,)
    order = (-gained).argsort(kind="stable").tolist()
    return tuple((labels[number], float(gained[number])) for number in order)
