"""A sound study in one go, from a notebook or a benchmark: `measured`, then `studied`.

The same plan, trial and analysis as a job's, without its queue, database and store.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from beholder.evidence.analysis import analyse
from beholder.evidence.answering import answers_of
from beholder.evidence.answers import Answers
from beholder.evidence.document import Evidence
from beholder.evidence.duplicates import fingerprint
from beholder.evidence.names import Role
from beholder.evidence.plan import Plan
from beholder.evidence.planning import Planner
from beholder.evidence.readings import Readings
from beholder.evidence.trial import Course, Trial
from beholder.science.inputs import to_image
from beholder.science.measure import measure
from beholder.science.networks import Network
from beholder.specs import StudySpec

_BATCH = 16


def measured(
    network: Network,
    pictures: Tensor,
    *,
    roles: Sequence[Role],
    groups: Sequence[str],
    normalize: bool = False,
) -> Answers:
    """What the intact network answers to pictures (N, 3, H, W), each of a role and a folder."""
    parts = []
    for first in range(0, len(pictures), _BATCH):
        rows = range(first, min(first + _BATCH, len(pictures)))
        batch = pictures[first : first + _BATCH]
        parts.append(
            answers_of(
                measure(network, batch, normalize=normalize, regions=True),
                positions=rows,
                sha256=[hashlib.sha256(one.numpy().tobytes()).hexdigest() for one in batch],
                sources=[f"{groups[row]}/{row}" for row in rows],
                roles=[roles[row] for row in rows],
                groups=[groups[row] for row in rows],
                fingerprints=[fingerprint(to_image(one)) for one in batch],
            )
        )
    return Answers.merge(parts)


def cast(answers: Answers, roles: Sequence[Role]) -> Answers:
    """The same pictures in other roles, for a study of another class."""
    return replace(answers, role=np.array(roles))


def studied(
    network: Network,
    spec: StudySpec,
    answers: Answers,
    pictures: Tensor,
    *,
    name: str = "",
    tell: Callable[[], object] = lambda: None,
) -> tuple[Plan, Evidence]:
    """The plan, and what follows from trying it. tell: called as work goes on.

    Raises InvalidInput where the pictures don't allow what the spec asks for.
    """
    planner = Planner(network, spec, answers, tell)
    positions = [one.position for one in planner.wanted()]
    plan = planner.plan(positions, pictures[positions])
    trial = Trial(network, plan, spec.min_layer, spec.normalize)
    if trial.wants_donors:
        trial.donors = pictures[list(plan.donors)]
    readings = Readings.merge(_tried(trial, answers, pictures, tell))
    return plan, analyse(plan, readings, study="in memory", name=name, labels=network.labels)


def _tried(
    trial: Trial, answers: Answers, pictures: Tensor, tell: Callable[[], object]
) -> list[Readings]:
    """Readings of all pictures, by what they go through."""
    courses: dict[Course, list[int]] = {}
    for position in answers.positions.tolist():
        courses.setdefault(trial.course(position), []).append(position)
    found = []
    for course, positions in courses.items():
        for first in range(0, len(positions), _BATCH):
            tell()
            rows = positions[first : first + _BATCH]
            found.append(trial.run(course, rows, pictures[rows]))
    return found
