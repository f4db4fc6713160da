"""A job's results as a zip that is written while it is read: one picture in memory at a time."""

import json
import tempfile
import zipfile
from collections.abc import Iterator
from typing import Any

from beholder.errors import NotFound, PictureError
from beholder.jobs.database import Database
from beholder.jobs.documents import (
    RESULTS,
    error_of,
    result_row,
    results_document,
    results_head,
)
from beholder.jobs.overview import overview_of
from beholder.jobs.queries import items
from beholder.jobs.result_files import read_result
from beholder.jobs.result_names import ResultNames
from beholder.jobs.views import ItemView, JobView
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
    """The zip, in pieces. What the store has lost or damaged is left out, as results.json says."""
    sink = _Sink()
    names = ResultNames(job, lambda count: items(db, job.id, limit=count))
    # The rows wait on the disk: a zip's files are written one after the other.
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as rows,
        zipfile.ZipFile(sink, "w") as zipped,  # type: ignore[call-overload]
    ):
        for item in items(db, job.id):
            row = _add(zipped, store, job, names, item)
            rows.write(json.dumps(row, ensure_ascii=False) + "\n")
            yield sink.take()
        rows.seek(0)
        with zipped.open(_entry(RESULTS, job), "w", force_zip64=True) as file:
            for part in results_document(_head(db, store, job), map(str.rstrip, rows)):
                file.write(part.encode())
                yield sink.take()
    yield sink.take()


def _add(
    zipped: zipfile.ZipFile, store: Store, job: JobView, names: ResultNames, item: ItemView
) -> dict[str, Any]:
    """Write an item's files; its row."""
    files: dict[int, str] = {}
    lost = damaged = 0
    for file in item.files:
        try:
            data = read_result(store, file)
        except NotFound:
            lost += 1
            continue
        except PictureError:
            damaged += 1
            continue
        files[file.step] = names.file(item, file.step)
        zipped.writestr(_entry(files[file.step], job), data)
    error = error_of(item, lost=lost, damaged=damaged)
    return result_row(item, names.picture(item), error, files)


def _head(db: Database, store: Store, job: JobView) -> dict[str, Any]:
    if job.kind != "study":
        return results_head(job)
    seen = overview_of(db, store, job)
    return results_head(
        job, summary=seen.summary, chosen=list(seen.chosen), conclusion=seen.conclusion
    )


def _entry(name: str, job: JobView) -> zipfile.ZipInfo:
    """A file of the zip, stored as it is: PNG does not get smaller. Dated by its job."""
    return zipfile.ZipInfo(name, job.created_at.timetuple()[:6])
