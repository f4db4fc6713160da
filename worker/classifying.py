"""A published study's last stage: what the network says without the chosen channels.

Pictures of which the first pass left maps go on from these, undecoded; the others start anew.
"""

from collections.abc import Iterator

from torch import Tensor

from beholder.jobs.finish import finish_classify
from beholder.jobs.outcomes import Finished
from beholder.science.blind import blinded, classify, classify_onward
from beholder.specs import StudySpec
from worker.kept_maps import kind_of, pictures_of
from worker.lease import Lease
from worker.pictures import Batch, Wanted
from worker.rooms import Shape
from worker.studies import StudyWork
from worker.work import Means


class ClassifyWork(StudyWork):
    """Verdicts without the chosen channels."""

    def __init__(self, lease: Lease, spec: StudySpec, means: Means) -> None:
        super().__init__(lease, spec, means)
        self._classified: list[tuple[tuple[Wanted, ...], Tensor]] = []

    def batches(self) -> Iterator[Batch]:
        """As for all work, and in the same batches, of maps where all of a batch's are kept."""
        kind, wanted = kind_of(self.network, self.spec), self._wanted()
        if kind is None:
            yield from self._loaded(wanted)
            return
        room = self._room(kind.size, kind.size)
        for start in range(0, len(wanted), room):
            items = tuple(wanted[start : start + room])
            if not self.standing:
                return
            maps = self.means.kept_maps.take(kind, pictures_of(items))
            if maps is None:
                yield from self._loaded(items)
            else:
                self.lease.sign()
                yield Batch(items, maps, maps, layer=kind.layer)

    def run(self, batch: Batch) -> None:
        """Classify, blinded; what it means is worked out behind."""
        with blinded(self.network, self.claim.chosen or {}):
            for part, logits in self._fitting(batch, self._classify):
                self._classified.append((part.items, logits))

    def _classify(self, batch: Batch) -> Tensor:
        if batch.layer is not None:
            return classify_onward(self.network, batch.layer, batch.wait())
        return classify(self.network, batch.wait(), normalize=self.spec.normalize)

    def _shape(self, height: int, width: int) -> Shape:
        if self.spec.size != "keep":  # maps are to memory what their pictures are
            height = width = self.spec.size
        return super()._shape(height, width)

    def _end(self) -> Finished | None:
        for items, logits in self._classified:
            self._judge(items, logits)
        return finish_classify(self.means.db, self.claim, self._ended)
