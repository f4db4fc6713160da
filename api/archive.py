"""A job's results as a zip that is written while it is read: one picture in memory at a time."""

import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

from beholder.errors import NotFound
from beholder.jobs.database import Database
from beholder.jobs.documents import RESULTS, picture_stem, result_row, results_head
from beholder.jobs.queries import items
from beholder.jobs.verdicts import chosen_by_layer, summary_of
from beholder.jobs.views import ItemView, JobView
from beholder.names import Names, result_name
from beholder.specs import DreamSpec, spec_of
from beholder.store import Store


class _Sink:
    """What zipfile writes to: bytes wait here until they are taken. It can't seek back."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def write(self, data: bytes) -> int:
        self._waiting += data
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken = bytes(self._waiting)
        self._waiting.clear()
        return taken


def archive(db: Database, store: Store, job: JobView) -> Iterator[bytes]:
    """The zip, in pieces. A file that the store has lost is left out, and results.json says so."""
    sink = _Sink()
    names = _Named(db, job)
    # The rows wait on the disk: a zip's files are written one after the other.
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as rows,
        zipfile.ZipFile(sink, "w") as zipped,  # type: ignore[call-overload]
    ):
        for item in items(db, job.id):
            row = _add(zipped, store, names, item)
            rows.write(json.dumps(row, ensure_ascii=False) + "\n")
            yield sink.take()
        rows.seek(0)
        with zipped.open(_entry(RESULTS, job), "w", force_zip64=True) as file:
            for part in _document(db, job, rows):
                file.write(part.encode())
                yield sink.take()
    yield sink.take()


class _Named:
    """What the job's files are called: as `beholder fetch` calls them."""

    def __init__(self, db: Database, job: JobView) -> None:
        self.job = job
        self.spec = spec_of("dream" if job.kind == "dream" else "study", job.spec)
        passes = len(self.spec.layers) if isinstance(self.spec, DreamSpec) else 1
        self._pictures = max(1, job.total // passes)  # a dream's items run layer by layer
        stems = (picture_stem(item) for item in items(db, job.id, limit=self._pictures))
        self._names = Names(stems)

    def picture(self, item: ItemView) -> str:
        """The item's picture."""
        return self._names.picture(picture_stem(item), item.position % self._pictures)

    def file(self, item: ItemView, step: int) -> str:
        """The item's dream after this step."""
        assert isinstance(self.spec, DreamSpec)
        return result_name(
            self.picture(item),
            layer=item.layer or 0,
            channels=self.spec.channels,
            step=step,
            last_step=self.spec.steps,
        )


def _add(zipped: zipfile.ZipFile, store: Store, names: _Named, item: ItemView) -> dict[str, Any]:
    """Write an item's files; its row."""
    files: dict[int, str] = {}
    for file in item.files:
        try:
            data = store.get(file.path)
        except NotFound:
            continue
        files[file.step] = names.file(item, file.step)
        zipped.writestr(_entry(files[file.step], names.job), data)
    lost = len(item.files) - len(files)
    error = f"{lost} of its files are gone from the store: submit it again." if lost else item.error
    return result_row(item, names.picture(item), error, files)


def _document(db: Database, job: JobView, rows: Iterable[str]) -> Iterator[str]:
    """results.json as the export writes it, one item a line."""
    head = json.dumps(_head(db, job), indent=2, ensure_ascii=False)
    yield head.removesuffix("\n}") + ',\n  "items": [\n'
    comma = ""
    for row in rows:
        yield f"{comma}    {row.rstrip()}"
        comma = ",\n"
    yield "\n  ]\n}\n"


def _head(db: Database, job: JobView) -> dict[str, Any]:
    if job.kind != "study":
        return results_head(job)
    summary = summary_of(db, job.id)
    return results_head(job, summary=summary, chosen=chosen_by_layer(db, job.id))


def _entry(name: str, job: JobView) -> zipfile.ZipInfo:
    """A file of the zip, stored as it is: PNG does not get smaller. Dated by its job."""
    return zipfile.ZipInfo(name, job.created_at.timetuple()[:6])
