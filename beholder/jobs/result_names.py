"""What the files of a job's results are called, the same from the command line and over HTTP."""

from collections.abc import Callable, Iterable

from beholder.jobs.documents import picture_stem
from beholder.jobs.views import ItemView, JobView
from beholder.names import Names, result_name
from beholder.specs import DreamSpec, spec_of


class ResultNames:
    """The names of one job's files; reads its first pass over the pictures once.

    first: gives the job's first so many items. spec: the job's.
    """

    def __init__(self, job: JobView, first: Callable[[int], Iterable[ItemView]]) -> None:
        self.spec = spec_of("dream" if job.kind == "dream" else "study", job.spec)
        passes = len(self.spec.layers) if isinstance(self.spec, DreamSpec) else 1
        self._pictures = max(1, job.total // passes)  # a dream's items run layer by layer
        stems = (picture_stem(item) for item in first(self._pictures))
        self._names = Names(stems)

    def number(self, item: ItemView) -> int:
        """The place of an item's picture in the job, the same for each layer."""
        return item.position % self._pictures

    def picture(self, item: ItemView) -> str:
        """The name of an item's picture."""
        return self._names.picture(picture_stem(item), self.number(item))

    def file(self, item: ItemView, step: int) -> str:
        """The name of an item's dream after this step."""
        assert isinstance(self.spec, DreamSpec)
        return result_name(
            self.picture(item),
            layer=item.layer or 0,
            channels=self.spec.channels,
            objective=self.spec.objective,
            step=step,
            last_step=self.spec.steps,
        )
