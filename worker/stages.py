"""Which work a study's chunk is, by its recipe and stage: `study_work`."""

from beholder.jobs.stages import Stage
from beholder.specs import StudySpec
from worker.classifying import ClassifyWork
from worker.lease import Lease
from worker.studies import ChooseWork, MeasureWork, StudyWork
from worker.work import Means

_ARTICLE: dict[str, type[StudyWork]] = {
    "measure": MeasureWork,
    "choose": ChooseWork,
    "classify": ClassifyWork,
}


def study_work(lease: Lease, stage: Stage, spec: StudySpec, means: Means) -> StudyWork:
    """The work on a study's claim."""
    stages = _ARTICLE if spec.recipe == "article" else _sound()
    return stages[stage](lease, spec, means)


def _sound() -> dict[str, type[StudyWork]]:
    # Statistics take as long to import as torch: a worker that is asked for dreams starts without.
    from worker.choosing import SoundChooseWork, SoundMeasureWork
    from worker.sweeping import ConcludeWork, SweepWork

    return {
        "measure": SoundMeasureWork,
        "choose": SoundChooseWork,
        "classify": SweepWork,
        "conclude": ConcludeWork,
    }
