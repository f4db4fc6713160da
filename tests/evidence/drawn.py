"""A plan and readings of a study that never ran: logits are drawn, readings are taken from them.

So every figure of `analyse` can be counted again from `Drawn.logits`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from beholder.evidence.plan import Condition, Plan, Profile, Ranked, Subject
from beholder.evidence.readings import Readings
from beholder.science.readings import read

LABELS = ("spiral", "rings", "rays", "stripes", "checks", "grid", "star")
CLASSES = len(LABELS)
TARGET = 0
FEATURES = 6
RANKING = tuple(Ranked(layer=20 + 2 * (n % 3), channel=n, score=2.0 - n / 10) for n in range(8))
# By folder: role, label, choosing pictures, test pictures.
FOLDERS = {
    "spiral": ("target", 0, 12, 30),
    "rings": ("sibling", 1, 10, 20),
    "checks": ("control", 4, 8, 15),
    "star": ("control", 6, 8, 15),
}


@dataclass(frozen=True)
class Drawn:
    """plan, readings; logits (A, B, classes) behind the readings, in the plan's order."""

    plan: Plan
    readings: Readings
    logits: np.ndarray

    def without(self, positions: Sequence[int]) -> "Drawn":
        """As if these pictures had failed."""
        keep = ~np.isin(self.readings.positions, positions)
        per_condition = {
            name: getattr(self.readings, name)[:, keep]
            for name in Readings.__dataclass_fields__
            if name != "positions"
        }
        readings = Readings(positions=self.readings.positions[keep], **per_condition)
        return replace(self, readings=readings, logits=self.logits[:, keep])


def condition(name: str, size: int = 3, **fields: Any) -> Condition:
    channels: dict[int, tuple[int, ...]] = {}
    for one in RANKING[:size]:
        channels[one.layer] = (*channels.get(one.layer, ()), one.channel)
    given = {"method": "iterative", "dose": size, "channels": channels, **fields}
    return Condition(name=name, **given)


def lots(kind: str, count: int, size: int = 3, **fields: Any) -> list[Condition]:
    return [
        condition(f"{kind} {size} {n}", size, kind=kind, method="random", draw=n, **fields)
        for n in range(count)
    ]


def alone(size: int = 3) -> list[Condition]:
    return [
        condition(f"alone {n}", 1, kind="alone", channels={one.layer: (one.channel,)})
        for n, one in enumerate(RANKING[:size])
    ]


def subjects(folders: dict[str, tuple[str, int, int, int]] | None = None) -> list[Subject]:
    found: list[Subject] = []
    for group, (role, label, choose, test) in (FOLDERS if folders is None else folders).items():
        for number in range(choose + test):
            position = len(found)
            found.append(
                Subject(
                    position=position,
                    sha256=f"{position:064x}",
                    source=f"{group}/{number:02d}.png",
                    role=role,
                    group=group,
                    label=label,
                    split="choose" if number < choose else "test",
                )
            )
    return found


def full() -> list[Condition]:
    """Every kind of condition, the headline first."""
    return [
        condition("main"),
        condition("half", 1),
        condition("by mean", mode="mean"),
        condition("by count", method="count"),
        condition("kept", kind="keep"),
        condition("of rings", kind="matrix", of="rings"),
        *lots("random", 39),
        *lots("matched", 19),
        *lots("random", 19, 1),
        *alone(),
    ]


# How far the target's logit falls, and how much all of them are disturbed.
_HARM = {
    "main": (9.0, 0.6), "half": (3.0, 0.3), "by mean": (5.0, 0.3), "by count": (7.0, 3.0),
    "kept": (5.0, 5.0), "of rings": (0.5, 2.0),
}  # fmt: skip


def draw(
    conditions: Sequence[Condition] | None = None,
    pictures: Sequence[Subject] | None = None,
    *,
    seed: int = 5,
    harm: dict[str, tuple[float, float]] | None = None,
    **plan: Any,
) -> Drawn:
    """Logits for each, in which a picture's own class leads by about 5."""
    conditions = full() if conditions is None else conditions
    pictures = subjects() if pictures is None else pictures
    harms = _HARM if harm is None else harm
    chance = np.random.default_rng(seed)
    intact = chance.normal(size=(len(pictures), CLASSES))
    for row, one in enumerate(pictures):
        intact[row, one.label] += chance.normal(6, 1)
    logits = [intact]
    for one in conditions:
        fall, noise = harms.get(one.name, (0.2, 0.4) if one.kind != "alone" else (1.0, 0.1))
        after = intact + chance.normal(0, noise, size=intact.shape)
        own = np.array([1.0 if one.role == "target" else 0.1 for one in pictures])
        after[:, TARGET] -= fall * own * chance.uniform(0.7, 1.3, len(pictures))
        logits.append(after)
    return of_logits(conditions, pictures, np.array(logits), seed=seed, **plan)


def of_logits(
    conditions: Sequence[Condition],
    pictures: Sequence[Subject],
    logits: np.ndarray,
    *,
    seed: int = 5,
    ran: np.ndarray | None = None,
    features: np.ndarray | None = None,
    **fields: Any,
) -> Drawn:
    """Readings of logits (A, B, classes). ran: (A, B) what was run; None is all, as planned."""
    chance = np.random.default_rng(seed + 1)
    numbers = {one.name: place for place, one in enumerate(conditions, start=1)}
    given = {
        "target": TARGET,
        "target_label": LABELS[TARGET],
        "target_by": "label",
        "headline": "main",
        "rankings": {"iterative": RANKING},
        "profiles": (Profile(layer=20, channel=0, target_mean=3.5, fraction_active=0.25),),
        "record": {"network": {"sha256": "5d" * 32}, "versions": {"torch": "2.15.0"}},
        **fields,
    }
    plan = Plan(seed=seed, subjects=tuple(pictures), conditions=tuple(conditions), **given)
    intact = torch.tensor(logits[0])
    found = read(
        torch.tensor(logits), intact, target=TARGET, own=torch.tensor([p.label for p in pictures])
    )
    headline = [_headline(plan, one, numbers) for one in pictures]
    if ran is None:
        ran = np.ones(logits.shape[:2], bool)
        for row, one in enumerate(pictures):
            if one.split != "test":
                ran[1:, row] = False
                ran[headline[row], row] = True
    columns = {}
    for name in ("label", "p_target", "margin", "p_own", "rank", "top5", "kl"):
        whole = getattr(found, name)
        columns[name] = np.where(ran, whole, -1 if whole.dtype.kind == "i" else np.nan)
    blinded = logits[headline, np.arange(len(pictures))]
    if features is None:
        features = chance.normal(size=(2, len(pictures), FEATURES))
        features[:, [p.role == "target" for p in pictures], 0] += 2.0
    readings = Readings(
        positions=np.array([one.position for one in pictures], np.int64),
        logits=np.array([logits[0], blinded], np.float32),
        features=features.astype(np.float32),
        **columns,
    )
    return Drawn(plan, readings, logits)


def _headline(plan: Plan, subject: Subject, numbers: dict[str, int]) -> int:
    for one in plan.conditions:
        if subject.fold is not None and one.fold == subject.fold and one.kind == "chosen":
            return numbers[one.name]
    return numbers[plan.headline]
