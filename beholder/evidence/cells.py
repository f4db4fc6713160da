"""The matrix: what each folder's set does to each folder's test pictures, as `cells`."""

from collections import Counter
from collections.abc import Collection, Iterator

from beholder.evidence.document import Cell
from beholder.evidence.names import Role
from beholder.evidence.sample import Run, Sample

_Folder = tuple[Role, str]


def cells(sample: Sample) -> tuple[Cell, ...]:
    """The headline's row, then those of the other folders' sets; none where no other was tried."""
    others = [one for one in sample.plan.conditions if one.kind == "matrix"]
    if not others:
        return ()
    targets = [folder for folder in sample.folders if folder[0] == "target"]
    found = list(_row(sample, sample.headline, targets, "")) if targets else []
    for one in others:
        # A set is chosen for all siblings and controls that came in folders of a name.
        own = [(role, name) for role, name in sample.folders if role != "target" and name == one.of]
        found += _row(sample, sample.run(one), own, one.of or one.name)
    return tuple(found)


def _row(sample: Sample, run: Run, own: Collection[_Folder], name: str) -> Iterator[Cell]:
    """Of the set chosen for `own`; called by `name` where none of them is tested."""
    names = _names(sample)
    of = " + ".join(names[folder] for folder in own) or name
    for folder, mask in sample.folders.items():
        if (ran := mask & run.ran).any():
            lost = run.lost[ran]
            yield Cell(
                of=of,
                group=names[folder],
                n=len(lost),
                drop=float(lost.mean()),
                own=folder in own,
            )


def _names(sample: Sample) -> dict[_Folder, str]:
    """What folders are called: their role too, where that alone tells them apart."""
    shared = Counter(name for _, name in sample.folders)
    return {
        (role, name): f"{name} ({role})" if shared[name] > 1 else name
        for role, name in sample.folders
    }
