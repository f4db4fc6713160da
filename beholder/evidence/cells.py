"""The matrix: what each folder's set does to each folder's test pictures, as `cells`."""

from collections.abc import Iterator

import numpy as np

from beholder.evidence.document import Cell
from beholder.evidence.sample import Bools, Run, Sample


def cells(sample: Sample) -> tuple[Cell, ...]:
    """The headline's row, then those of the other folders' sets; none where no other was tried."""
    others = [one for one in sample.plan.conditions if one.kind == "matrix"]
    if not others:
        return ()
    own = " + ".join(dict.fromkeys(name for role, name in sample.folders if role == "target"))
    found = list(_row(sample, sample.headline, own)) if own else []
    for one in others:
        found += _row(sample, sample.run(one), one.of or one.name)
    return tuple(found)


def _row(sample: Sample, run: Run, of: str) -> Iterator[Cell]:
    for name, mask in _folders(sample).items():
        if (ran := mask & run.ran).any():
            lost = run.lost[ran]
            yield Cell(of=of, group=name, n=len(lost), drop=float(lost.mean()))


def _folders(sample: Sample) -> dict[str, Bools]:
    """By name: folders that share one are told apart by nobody."""
    found: dict[str, Bools] = {}
    for (_, name), mask in sample.folders.items():
        found[name] = np.logical_or(found.get(name, False), mask)
    return found
