"""Looking after what is kept: `verify`, `gc`, `keep`."""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beholder.durations import duration
from beholder.errors import BeholderError, InvalidInput
from cli.context import Context
from cli.output import JsonOption, amount, console, plural, print_json, say, table
from cli.progress import counting

if TYPE_CHECKING:
    from beholder.upkeep.findings import Finding
    from beholder.upkeep.garbage import Garbage
    from beholder.upkeep.mend import Mendable

EXIT_FOUND = 1
SHOWN = 50  # findings
SHOWN_JOBS = 20
KEPT = 10_000  # findings in memory, to be listed
ENDED = ("done", "failed", "cancelled")
_COUNTED = ("leftover", "stray picture")
_UNITS = {"h": 1 / 24, "d": 1, "w": 7}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (verify, gc, keep):
        app.command()(command)


def verify(
    jobs: Annotated[
        list[str] | None,
        typer.Argument(help="Only these jobs. Default: everything.", metavar="[JOB]..."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Compare files' sizes, not their bytes.")
    ] = False,
    mend: Annotated[
        bool,
        typer.Option(
            "--mend", help="Queue again what lost its files; set counters right; say what is left."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Check that every result is there and as it was written. Exit code 1 if not."""
    from beholder.jobs.queries import get_job
    from beholder.upkeep.mend import mendable
    from beholder.upkeep.verify import extent
    from beholder.upkeep.verify import verify as check

    context = Context()
    ids = [get_job(context.db, job).id for job in jobs] if jobs else None
    size = extent(context.db, ids)
    seen = _Seen()
    with counting("verifying", size.files) as on_file:
        found = check(
            context.db, context.store, jobs=ids, quick=quick, on_checked=lambda _: on_file()
        )
        wanted = mendable(seen.all(found))
    deeds = _mend(context, wanted) if mend else []
    left = seen.total - wanted.settled
    listed = map(wanted.answered, seen.first)
    checked = f"{plural(size.files, 'file')}, {amount(size.bytes)}"
    if json:
        rows = [one.row() for one in listed]
        total = {"total": seen.total, "mended": deeds, "left": left}
        print_json({"checked": vars(size), "findings": rows, **total})
    else:
        _show(islice(listed, SHOWN), seen.total)
    todo = f" {f'{left:,} left to do.' if left else 'Nothing is left to do.'}" if mend else ""
    say(f"{checked} checked: {seen.counted() + todo if seen.total else 'all is well.'}")
    if left:
        raise typer.Exit(EXIT_FOUND)


class _Seen:
    """The findings that went by: the first, to be listed, and how many of each kind."""

    def __init__(self) -> None:
        self.first: list[Finding] = []
        self._kinds: Counter[str] = Counter()

    def all(self, findings: "Iterable[Finding]") -> "Iterator[Finding]":
        """The same again."""
        for one in findings:
            self._kinds[one.kind] += 1
            if self.total <= KEPT:
                self.first.append(one)
            yield one

    @property
    def total(self) -> int:
        """How many there were."""
        return self._kinds.total()

    def counted(self) -> str:
        """In words."""
        each = ", ".join(_kind_words(*one) for one in self._kinds.most_common())
        return f"{plural(self.total, 'finding')} ({each})."


def _kind_words(kind: str, count: int) -> str:
    """ "1 file damaged", "2 files damaged", "3 leftovers", "counters: 1"."""
    what, _, how = kind.partition(" ")
    if what in ("file", "picture"):
        return f"{plural(count, what)} {how}"
    return plural(count, kind) if kind in _COUNTED else f"{kind}: {count:,}"


def _show(listed: "Iterable[Finding]", total: int) -> None:
    out = console()
    for one in listed:
        out.print(one.line(), markup=False, highlight=False, soft_wrap=True)
    if total > SHOWN:
        say(f"... and {total - SHOWN:,} more; --json lists them.")


def _mend(context: Context, wanted: "Mendable") -> list[str]:
    from beholder.upkeep.mend import mend
    from cli.desk.local import wake_workers

    deeds = []
    for deed in mend(context.db, context.store, wanted):
        say(deed)
        deeds.append(deed)
    if deeds:
        wake_workers(context)
    return deeds


def gc(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove it, without asking.")] = False,
    older_than: Annotated[
        str | None,
        typer.Option(help="Also jobs that ended longer ago, with their results: 30d, 12h, 4w."),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(help="Of those, only done, failed or cancelled ones; may be a list."),
    ] = None,
    job: Annotated[
        str | None, typer.Option(help="Only this job, which has ended, with its results.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show what nothing refers to any more, and remove it with --yes."""
    context = Context()
    limit = None if older_than is None else age(older_than)
    ids = _asked_for(context, limit, state, job)
    rest = job is None
    found = _found(context, ids, limit, rest=rest, remove=yes)
    if not yes and not json:
        _show_jobs(context, found["jobs"])
        if found["bytes"] + len(ids) and _confirmed(found):
            yes, found = True, _found(context, ids, limit, rest=rest, remove=True)
    if json:
        print_json({"removed": yes, **found})
        return
    _show_garbage(found)
    verb = "removed" if yes else "can be removed; --yes removes it"
    say(f"{plural(found['files'], 'file')}, {amount(found['bytes'])}: {verb}.")


def _asked_for(
    context: Context, older_than: timedelta | None, state: str | None, job: str | None
) -> list[str]:
    """The jobs to be removed."""
    from beholder.jobs.queries import get_job
    from beholder.upkeep.retention import expired

    if job is not None:
        if older_than or state:
            raise InvalidInput("--job goes alone: it names the one job to remove.")
        view = get_job(context.db, job)
        if not view.finished:
            raise InvalidInput(f"job {view.id} is {view.state}: cancel it before you remove it.")
        return [view.id]
    if older_than is None:
        if state:
            raise InvalidInput("--state needs --older-than, such as --older-than 30d.")
        return []
    states = tuple(word.strip() for word in state.split(",")) if state else ENDED
    if unknown := set(states) - set(ENDED):
        raise InvalidInput(f"no state {unknown.pop()!r} to remove: {', '.join(ENDED)}.")
    return expired(context.db, older_than=older_than, states=states)


def age(text: str) -> timedelta:
    """ "30d", "12h" or "4w". Raises InvalidInput."""
    match = re.fullmatch(r"(\d{1,5})([hdw])", text.strip().lower())
    if match is None:
        raise InvalidInput(
            f"--older-than: write hours, days or weeks (h, d, w), such as 12h or 30d; got {text!r}."
        )
    return timedelta(days=int(match[1]) * _UNITS[match[2]])


def _found(
    context: Context, ids: list[str], older_than: timedelta | None, *, rest: bool, remove: bool
) -> dict[str, Any]:
    """What there is, by kind; removed as it is found if so asked.

    older_than: jobs that somebody meanwhile wants to keep, or has run again, stay.
    """
    from beholder.upkeep.garbage import collect
    from beholder.upkeep.ownership import insist_on_own
    from beholder.upkeep.retention import remove_job, result_size

    kinds: dict[str, Counter[str]] = {}

    def count(kind: str, files: int, size: int) -> None:
        kinds.setdefault(kind, Counter()).update(found=1, files=files, bytes=size)

    if rest:
        insist_on_own(context.db, context.store, record=False)
    removed = []
    for job_id in ids:
        files, size = result_size(context.db, job_id)
        if remove:
            try:
                remove_job(context.db, context.store, job_id, older_than=older_than)
            except BeholderError as error:
                say(f"job {job_id} not removed: {error}")
                continue
        removed.append(job_id)
        count("job", files, size)
    if rest:
        garbage: Iterable[Garbage] = collect(
            context.db, context.store, context.settings.home, remove=remove
        )
        for one in garbage:
            count(one.kind, one.files, one.bytes)
    files, size = (sum(each[name] for each in kinds.values()) for name in ("files", "bytes"))
    rows = [{"kind": kind, **counts} for kind, counts in kinds.items()]
    return {"files": files, "bytes": size, "jobs": removed, "garbage": rows}


def _show_jobs(context: Context, ids: list[str]) -> None:
    """The first of those that would go, each with when it ended."""
    from beholder.jobs.queries import get_job

    rows = []
    for view in (get_job(context.db, job_id) for job_id in ids[:SHOWN_JOBS]):
        age = duration((datetime.now(UTC) - (view.finished_at or view.created_at)).total_seconds())
        rows.append({**view.row(), "ended": f"{age} ago"})
    if rows:
        console().print(table(["id", "kind", "name", "state", "ended"], rows))
    if len(ids) > SHOWN_JOBS:
        say(f"... and {plural(len(ids) - SHOWN_JOBS, 'more job')}; --json lists them.")


def _show_garbage(found: dict[str, Any]) -> None:
    if found["garbage"]:
        console().print(table(["kind", "found", "files", "bytes"], found["garbage"]))


def _confirmed(found: dict[str, Any]) -> bool:
    """Asked on a terminal only."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    _show_garbage(found)
    return typer.confirm(f"Remove {amount(found['bytes'])}?", err=True)


def keep(
    job: Annotated[
        str | None, typer.Argument(help="The job. Default: list those that are kept.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Keep it no longer.")] = False,
    json: JsonOption = False,
) -> None:
    """Keep a job whatever its age, or list those that are kept."""
    desk = Context().desk
    if job is None:
        if undo:
            raise InvalidInput("--undo is of one job: `beholder keep JOB --undo`.")
        _show_kept([view.row() for view in desk.jobs(kept=True)], as_json=json)
        return
    view = desk.job(job)
    desk.keep(view.id, kept=not undo)
    say(f"job {view.id}: {'no longer kept' if undo else 'kept, whatever its age'}.")
    if json:
        print_json(desk.job(view.id).row())


def _show_kept(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(rows)
    elif rows:
        console().print(table(["id", "kind", "name", "state"], rows))
    else:
        say("No job is kept.")
