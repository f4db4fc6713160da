"""Evidence of a study that never ran: its logits are drawn, its figures are counted from them.

So what the report shows agrees with itself, as in a real study: losses with pictures, both with
logits.
"""

import io
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from beholder.evidence.document import (
    Band,
    Cell,
    ChannelEvidence,
    Dose,
    Evidence,
    Group,
    Interval,
    Outcome,
    PictureRow,
    Probe,
)
from beholder.evidence.logits import Logits
from beholder.evidence.names import Kind, Method, Mode, Role, Split
from beholder.specimens.draw import draw

LABELS = ("spiral", "rings", "rays", "stripes", "checks", "grid", "star", "heart", "flower", "dots")
GROUPS: dict[str, tuple[Role, int]] = {
    "spiral": ("target", 40),
    "rings": ("sibling", 20),
    "rays": ("sibling", 20),
    "checks": ("control", 20),
    "star": ("control", 20),
}
TARGET = 0
HELD_OUT: dict[Split, dict[Role, int]] = {
    "choose": {"target": 40, "sibling": 20, "control": 40},
    "tune": {"target": 20, "sibling": 10, "control": 20},
    "test": {"target": 40, "sibling": 40, "control": 40},
    "duplicate": {"target": 3},
}
LEFT_OUT: dict[Split, dict[Role, int]] = {
    "choose": {"sibling": 40, "control": 40},
    "test": HELD_OUT["test"],
}
DOSES = (1, 2, 5, 10, 20, 40)
DOSE = 20
# How far the target's logit falls at the dose, and how much everybody is disturbed.
STRENGTHS: dict[tuple[Method, Mode], tuple[float, float]] = {
    ("iterative", "zero"): (9.0, 2.2),
    ("iterative", "mean"): (4.6, 0.4),
    ("iterative", "resample"): (4.2, 2.6),
    ("iterative", "scale"): (5.5, 0.4),
    ("contrastive", "zero"): (5.6, 1.8),
    ("count", "zero"): (6.8, 3.2),
}
LAYERS = (22, 24, 26, 29, 31, 33, 35)


@dataclass
class _Picture:
    name: str
    role: Role
    label: int
    logits: list[float]


def make_evidence(*, exploratory: str | None = None, seed: int = 4, **changed: Any) -> Evidence:
    """Three methods, four modes, six doses, both bands; 120 test pictures, 40 of them targets.

    exploratory: why; then each target was left out. As in a study each dose is kept alone too, and
    sets as strong are of the headline's dose alone.
    """
    lots = random.Random(seed)
    pictures = _pictures(lots)
    blinded = _blinded(lots, pictures)
    outcomes = [
        _outcome(pictures, logits, method=method, mode=mode, dose=dose)
        for (method, mode, dose), logits in blinded.items()
    ]
    draws = [
        _outcome(
            pictures,
            _ablate(lots, pictures, 0.1, 0.3),
            method="random",
            mode="zero",
            dose=DOSE,
            kind="random",
            draw=number,
        )
        for number in range(19)
    ]
    kept = [
        _outcome(pictures, logits, method="iterative", mode="zero", dose=dose, kind="keep")
        for dose, logits in _kept_alone(lots, pictures).items()
    ]
    headline = blinded["iterative", "zero", DOSE]
    fields: dict[str, Any] = {
        "study": "k3v8m2q0zt",
        "name": "Spirals against the rest",
        "target_label": "spiral",
        "target_by": "label",
        "exploratory": exploratory,
        "pictures": HELD_OUT if exploratory is None else LEFT_OUT,
        "headline": f"iterative/zero/{DOSE}",
        "outcomes": (*outcomes, *kept, *draws),
        "bands": (*(_band("random", dose) for dose in DOSES), _band("matched", DOSE)),
        "rows": tuple(_rows(pictures, headline)),
        "went": _went(pictures, headline),
        "layers": dict(zip(LAYERS, (1, 1, 2, 5, 4, 4, 3), strict=True)),
        "channels": tuple(_channels(lots)),
        "matrix": tuple(_matrix(lots)),
        "probe": Probe(
            intact=0.999, blinded=0.987, masked_target_kept=0.0, masked_others_drop=-0.0125
        ),
        "stability": 0.71,
        "sentence": (
            "Zeroing 20 channels leaves the network seeing a spiral in 2 of 40 held-out spirals "
            "(intact: 40), while 79 of 80 other pictures keep their label."
        ),
        "caveats": (
            "Not shown: that these channels are the only ones that carry spirals; a linear probe "
            "still reads the class from what is left (AUC 0.99).",
            "Not shown: that other networks, or other pictures of spirals, behave alike.",
        ),
        "record": _record(),
        "logits": (raw := make_logits(seed=seed)).told(raw.to_bytes()),
    }
    return Evidence(**{**fields, **changed})


def make_logits(*, seed: int = 4) -> Logits:
    """The raw ones behind `make_evidence`."""
    lots = random.Random(seed)
    pictures = _pictures(lots)
    headline = _blinded(lots, pictures)["iterative", "zero", DOSE]
    return Logits(
        np.arange(len(pictures)),
        np.array([one.logits for one in pictures], np.float32),
        np.array(headline, np.float32),
    )


def pictures_of(evidence: Evidence, *, size: int = 64) -> dict[str, bytes]:
    """By hash, a drawn picture of each row's group, as PNG."""
    return {
        row.sha256: drawn(row.group, number, size=size) for number, row in enumerate(evidence.rows)
    }


def drawn(label: str, seed: int, *, size: int = 64) -> bytes:
    """A drawn picture as PNG."""
    buffer = io.BytesIO()
    draw(label, seed=seed, size=size).save(buffer, "PNG")
    return buffer.getvalue()


def _pictures(lots: random.Random) -> list[_Picture]:
    found = []
    for group, (role, count) in GROUPS.items():
        label = LABELS.index(group)
        for number in range(1, count + 1):
            logits = [lots.gauss(0, 1) for _ in LABELS]
            logits[label] += lots.gauss(9, 1.2)
            found.append(_Picture(f"{group}/{group}-{number:02d}.png", role, label, logits))
    return found


def _blinded(
    lots: random.Random, pictures: Sequence[_Picture]
) -> dict[tuple[Method, Mode, int], list[list[float]]]:
    return {
        (method, mode, dose): _ablate(lots, pictures, *_strength(method, mode, dose))
        for method, mode in STRENGTHS
        for dose in (DOSES if (method, mode) == ("iterative", "zero") else (DOSE,))
    }


def _kept_alone(lots: random.Random, pictures: Sequence[_Picture]) -> dict[int, list[list[float]]]:
    """By dose: what is left of a picture's logits; of targets the more, the more is kept."""
    return {
        dose: [
            [
                lots.gauss(0, 1) + (logit * dose / max(DOSES) if one.role == "target" else 0)
                for logit in one.logits
            ]
            for one in pictures
        ]
        for dose in DOSES
    }


def _strength(method: Method, mode: Mode, dose: int) -> tuple[float, float]:
    fall, noise = STRENGTHS[method, mode]
    part = 1 - math.exp(-dose / 7)
    return fall * part / (1 - math.exp(-DOSE / 7)) * 1.3, noise * part


def _ablate(
    lots: random.Random, pictures: Sequence[_Picture], fall: float, noise: float
) -> list[list[float]]:
    made = []
    for picture in pictures:
        logits = [logit + lots.gauss(0, noise) for logit in picture.logits]
        own = lots.gauss(fall, 0.25 * fall)
        logits[TARGET] -= own if picture.role == "target" else 0.2 * own
        if picture.role == "target":
            logits[1] += 0.25 * own  # rings are what spirals are taken for
            logits[2] += 0.15 * own
        made.append(logits)
    return made


def softmax(logits: Sequence[float]) -> list[float]:
    top = max(logits)
    raised = [math.exp(logit - top) for logit in logits]
    return [one / sum(raised) for one in raised]


def log_odds(logits: Sequence[float]) -> float:
    others = [logit for place, logit in enumerate(logits) if place != TARGET]
    return logits[TARGET] - math.log(sum(math.exp(logit) for logit in others))


def wilson(hits: int, n: int) -> Interval:
    """Wilson 1927, 95%."""
    z, share = 1.96, hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(
        value=share, low=max(0, centre - half), high=min(1, centre + half), method="Wilson"
    )


def _top(logits: Sequence[float]) -> int:
    return max(range(len(logits)), key=lambda place: logits[place])


def _group(
    pictures: Sequence[_Picture], logits: Sequence[Sequence[float]], role: Role, name: str | None
) -> Group:
    where = [
        (one, after)
        for one, after in zip(pictures, logits, strict=True)
        if one.role == role and name in (None, one.name.split("/")[0])
    ]
    n = len(where)
    kept = sum(_top(after) == one.label for one, after in where)
    before = sum(_top(one.logits) == one.label for one, _ in where)
    ranks = sorted(sum(other > after[TARGET] for other in after) + 1 for _, after in where)
    return Group(
        role=role,
        name=name,
        n=n,
        kept=wilson(kept, n),
        drop=(before - kept) / n,
        p_target=sum(softmax(after)[TARGET] for _, after in where) / n,
        p_own=sum(softmax(after)[one.label] for one, after in where) / n,
        margin=sum(log_odds(after) - log_odds(one.logits) for one, after in where) / n,
        rank=ranks[n // 2],
        top5=sum(rank <= 5 for rank in ranks) / n,
        kl=sum(
            p * math.log(p / q)
            for one, after in where
            for p, q in zip(softmax(one.logits), softmax(after), strict=True)
        )
        / n,
    )


def _outcome(
    pictures: Sequence[_Picture],
    logits: Sequence[Sequence[float]],
    *,
    method: Method,
    mode: Mode,
    dose: int,
    kind: Kind = "chosen",
    draw: int | None = None,
) -> Outcome:
    roles = [_group(pictures, logits, role, None) for role in ("target", "sibling", "control")]
    gap = roles[0].drop - (roles[1].drop + roles[2].drop) / 2
    by_lot = draw is not None
    name = f"{method}/{mode}/{dose}" + (f"/{kind}" if kind != "chosen" else "")
    name += f"/draw {draw}" if by_lot else ""
    main = dose == DOSE and kind == "chosen"
    return Outcome(
        name=name,
        kind=kind,
        method=method,
        mode=mode,
        alpha=0.25 if mode == "scale" else 0.0,
        dose=dose,
        pooled=True,
        draw=draw,
        of=None,
        channels=dose,
        roles=tuple(roles),
        groups=tuple(_group(pictures, logits, role, name) for name, (role, _) in GROUPS.items()),
        selectivity=Interval(
            value=gap, low=max(-1, gap - 0.06), high=min(1, gap + 0.04), method="paired bootstrap"
        ),
        mcnemar=None if by_lot else 0.5 ** max(0, round(40 * roles[0].drop) - 1),
        permutation=1 / 200 if main else None,
        holm=3 / 200 if main else None,
    )


def _band(kind: Kind, dose: int) -> Dose:
    worst = 0.0006 * dose * (2 if kind == "matched" else 1)
    draws = 199 if dose == DOSE else 19
    kept = Band(median=1 - worst / 2, low=1 - 2 * worst, high=1.0, draws=draws)
    return Dose(
        kind=kind,
        mode="zero",
        dose=dose,
        kept={"target": kept, "sibling": kept, "control": kept},
        draws=draws,
        selectivity=Band(median=0.0, low=-worst, high=worst, draws=draws),
    )


def _rows(pictures: Sequence[_Picture], logits: Sequence[Sequence[float]]) -> Sequence[PictureRow]:
    return [
        PictureRow(
            position=place,
            sha256=f"{place:064x}",
            source=one.name,
            role=one.role,
            group=one.name.split("/")[0],
            split="test",
            duplicate_of=None,
            intact_label=LABELS[_top(one.logits)],
            blinded_label=LABELS[_top(after)],
            intact_log_odds=log_odds(one.logits),
            blinded_log_odds=log_odds(after),
            intact_p=softmax(one.logits)[TARGET],
            blinded_p=softmax(after)[TARGET],
        )
        for place, (one, after) in enumerate(zip(pictures, logits, strict=True))
    ]


def _went(
    pictures: Sequence[_Picture], logits: Sequence[Sequence[float]]
) -> tuple[tuple[str, float], ...]:
    gained = [0.0] * len(LABELS)
    targets = [pair for pair in zip(pictures, logits, strict=True) if pair[0].role == "target"]
    for one, after in targets:
        for place, (p, q) in enumerate(zip(softmax(one.logits), softmax(after), strict=True)):
            gained[place] += (q - p) / len(targets)
    return tuple(sorted(zip(LABELS, gained, strict=True), key=lambda pair: -pair[1]))


def _channels(lots: random.Random) -> Sequence[ChannelEvidence]:
    layers = (29, 29, 31, 33, 35, 31, 29, 33, 35, 31, 29, 33, 31, 29, 35, 33, 26, 26, 24, 22)
    found = []
    for rank, layer in enumerate(layers, start=1):
        effect = -3.2 / rank + lots.gauss(0, 0.05)
        found.append(
            ChannelEvidence(
                layer=layer,
                channel=lots.randrange(128),
                rank=rank,
                score=2.4 / rank + 0.1,
                target_mean=lots.uniform(4, 9),
                control_mean=lots.uniform(0.2, 2),
                fraction_active=lots.uniform(0.1, 0.6),
                effect=_about(effect, 0.2),
                control_effect=_about(lots.gauss(0, 0.02), 0.01),
            )
        )
    return found


def _about(value: float, half: float) -> Interval:
    return Interval(value=value, low=value - half, high=value + half, method="paired bootstrap")


def _matrix(lots: random.Random) -> Sequence[Cell]:
    return [
        Cell(
            of=of,
            group=group,
            n=20,
            drop=lots.choice((0.9, 0.95, 1.0)) if of == group else lots.choice((0, 0, 0.05, 0.1)),
            own=of == group,
        )
        for of in GROUPS
        for group in GROUPS
    ]


def _record() -> dict[str, Any]:
    return {
        "network": {"name": "specimens", "sha256": "5d" * 32, "labels_sha256": "a7" * 32},
        "preprocessing": {"size": 96, "resize": "bicubic, antialiased", "normalize": False},
        "seed": 0,
        "versions": {"beholder": "0.1.0", "torch": "2.15.0", "numpy": "2.4.0"},
        "device": "cpu",
        "dtype": "float32",
        "hook_site": "after the ReLU",
        "channels": {"relu5_1": [3, 17, 44], "relu5_2": [5, 9]},
    }
