"""A job's results as files: `export_job` writes pictures, results.json and contact sheets.

Works on a job that still runs: what is done so far. What is in the folder already stays as it is
where it is the same. contact.py draws the sheets, beholder/names.py makes the names.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beholder.errors import InvalidInput, NotFound, PictureError
from beholder.jobs.documents import (
    RESULTS,
    error_of,
    result_row,
    results_document,
    results_head,
)
from beholder.jobs.result_names import ResultNames
from beholder.specs import DreamSpec
from cli.contact import Shown, draw_sheets
from cli.desk import asking
from cli.difference import Differences
from cli.files import holds, make_folder, reported, write_file, writing
from cli.output import plural

if TYPE_CHECKING:
    from beholder.jobs.outcomes import StoredFile
    from beholder.jobs.views import ItemView, JobView
    from cli.desk import Desk

SHEETS = "sheets"
THREADS = 4
_TOGETHER = 64  # items on their way at a time
KEPT_FAILURES = 10
_HEAD = 4096  # characters of results.json that surely hold the job's id

OnProgress = Callable[[int, int], None]


@dataclass
class Exported:
    """What was written. files: result pictures in the folder, `new` of them written just now.

    failures: the first (source, reason) pairs, each once; `failed` counts all items that have one.
    missing: files that the store has lost. damaged: files in it that are not what was written.
    """

    folder: Path
    job: "JobView"
    files: int = 0
    new: int = 0
    missing: int = 0
    damaged: int = 0
    failed: int = 0
    differences: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    sheets: tuple[Path, ...] = ()

    def words(self) -> str:
        """What is where, for people."""
        kept = self.files - self.new
        there = f" ({kept:,} there already)" if kept else ""
        parts = [f"{plural(self.files, 'picture')}{there}"]
        parts += [plural(self.differences, "difference")] if self.differences else []
        sheets = plural(len(self.sheets), "contact sheet")
        return f"{', '.join(parts)}, results.json and {sheets} in {self.folder}"


def export_job(
    desk: "Desk",
    job_id: str,
    folder: Path,
    *,
    differences: bool = False,
    on_progress: OnProgress = lambda done, total: None,
) -> Exported:
    """Write a job's results to `folder`. on_progress: items done with, of how many.

    differences: also write what each dream changed.

    Raises NotFound without such a job, InvalidInput or StorageFull when the folder can't be
    written; what is written by then stays, each file whole.
    """
    job = desk.job(job_id)
    _refuse_other(folder, job.id)
    make_folder(folder)
    export = _Export(desk, job, folder, on_progress)
    if differences:
        export.insist_on_differences()
    with writing(folder / RESULTS) as file:
        for part in export.document():
            file.write(part.encode())
    export.result.sheets = _write_sheets(export)
    return export.result


def _refuse_other(folder: Path, job_id: str) -> None:
    """Two jobs in one folder would overwrite each other's pictures."""
    path = folder / RESULTS
    with reported(folder):
        if not path.is_file():
            return
        with path.open(encoding="utf-8", errors="replace") as file:
            found = re.search(r'"job": \{\s*"id": "(\w+)"', file.read(_HEAD))
    if found and found[1] != job_id:
        raise InvalidInput(
            f"{folder} holds the results of job {found[1]}: choose another folder with -o DIR."
        )


def _write_sheets(export: "_Export") -> tuple[Path, ...]:
    folder = export.folder / SHEETS
    written = []
    for name, data in draw_sheets(export.desk, export.job, export.names.spec, export.shown):
        make_folder(folder)
        write_file(folder / name, data)
        written.append(folder / name)
    return tuple(written)


@dataclass
class _Written:
    """An item with the files it has in the folder, by step. lost, damaged: how many are.

    compared: whether what it changed is there too.
    """

    item: "ItemView"
    number: int
    picture: str
    files: dict[int, Path] = field(default_factory=dict)
    new: int = 0
    lost: int = 0
    damaged: int = 0
    compared: bool = False


class _Export:
    """One export on its way: walks the items once, writing files and gathering what sheets show."""

    def __init__(self, desk: "Desk", job: "JobView", folder: Path, on_progress: OnProgress) -> None:
        self.desk, self.job, self.folder = desk, job, folder
        self.names = ResultNames(job, lambda count: desk.items(job.id, limit=count))
        self.result = Exported(folder, job)
        self.shown = Shown()
        self._on_progress = on_progress
        self._differences: Differences | None = None

    def insist_on_differences(self) -> None:
        """Also write what each dream changed. Raises InvalidInput for a study."""
        if not isinstance(self.names.spec, DreamSpec):
            raise InvalidInput(f"job {self.job.id} is a study: it changes no picture.")
        self._differences = Differences(self.desk, self.job, self.folder)

    def document(self) -> Iterator[str]:
        """results.json in pieces; each item's files are written before its row."""
        rows = (json.dumps(row, ensure_ascii=False) for row in self._item_rows())
        return results_document(self._head(), rows)

    def _head(self) -> dict[str, Any]:
        if self.job.kind != "study":
            return results_head(self.job)
        overview = self.desk.overview(self.job)
        self.shown.summary, self.shown.chosen = overview.summary, list(overview.chosen)
        self.shown.conclusion = overview.conclusion
        return results_head(
            self.job,
            summary=self.shown.summary,
            chosen=self.shown.chosen,
            conclusion=overview.conclusion,
        )

    def _item_rows(self) -> Iterator[dict[str, Any]]:
        done = 0
        walk = self.desk.items(self.job.id)
        with asking(self.desk, THREADS) as threads:
            while together := list(islice(walk, _TOGETHER)):
                for written in threads.map(self._write, together):
                    done += 1
                    yield self._row(written)
                    self._on_progress(done, self.job.total)

    def _write(self, item: "ItemView") -> _Written:
        """Put an item's files into the folder. Runs on a thread, and so gathers nothing."""
        written = _Written(item, self.names.number(item), self.names.picture(item))
        for file in item.files:
            self._write_file(written, file)
        last = written.files.get(max(written.files, default=0))
        if self._differences is not None and last is not None:
            written.compared = self._differences.write(item, last)
        return written

    def _write_file(self, written: _Written, file: "StoredFile") -> None:
        """One file, unless it is there already, or lost or damaged in the store."""
        path = self.folder / self.names.file(written.item, file.step)
        if not holds(path, file.sha256, file.bytes):
            try:
                with writing(path) as out:
                    self.desk.copy_result(self.job.id, written.item.position, file, out)
            except NotFound:
                written.lost += 1
                return
            except PictureError:
                written.damaged += 1
                return
            written.new += 1
        written.files[file.step] = path

    def _row(self, written: _Written) -> dict[str, Any]:
        """Count an item, and note it for the sheets; its entry in results.json."""
        item = written.item
        error = error_of(item, lost=written.lost, damaged=written.damaged)
        self._count(written, error)
        self.shown.add(written.number, written.picture, item, written.files, error)
        names = {step: path.name for step, path in written.files.items()}
        return result_row(item, written.picture, error, names)

    def _count(self, written: _Written, error: str | None) -> None:
        self.result.files += len(written.files)
        self.result.new += written.new
        self.result.missing += written.lost
        self.result.damaged += written.damaged
        self.result.differences += written.compared
        if error is None:
            return
        self.result.failed += 1
        failure = written.item.source, error
        failures = self.result.failures
        if len(failures) < KEPT_FAILURES and failure not in failures:
            failures.append(failure)
