"""Which work a study's chunk is, by its recipe and stage: `study_work`."""

from beholder.jobs.stages import Stage
from beholder.specs import StudySpec
from worker.choosing import SoundChooseWork, SoundMeasureWork
from worker.lease import Lease
from worker.studies import ARTICLE, StudyWork
from worker.sweeping import ConcludeWork, SweepWork
from worker.work import Means

SOUND: dict[str, type[StudyWork]] = {
    "measure": SoundMeasureWork,
    "choose": SoundChooseWork,
    "classify": SweepWork,
    "conclude": ConcludeWork,
}
STAGES = {"article": ARTICLE, "sound": SOUND}


def study_work(lease: Lease, stage: Stage, spec: StudySpec, means: Means) -> StudyWork:
    """The work on a study's claim."""
    return STAGES[spec.recipe][stage](lease, spec, means)
