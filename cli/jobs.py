"""Looking after jobs: `jobs`, `show`, `watch`, `cancel`, `retry`. An id's beginning will do."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beholder.devices import DEFAULT_DEVICE
from beholder.durations import duration
from beholder.errors import InvalidInput
from beholder.priorities import DEFAULT_PRIORITY
from cli.context import Context
from cli.output import JsonOption, console, plural, print_json, say, table
from cli.progress import follow, outcome_words

if TYPE_CHECKING:
    from beholder.jobs.overview import Overview
    from beholder.jobs.views import ItemView, JobView
    from cli.desk import Desk

EXIT_FAILED = 1
SHOWN_FAILURES, READ_FAILURES = 10, 1_000
SHOWN_VERDICTS = 40
KINDS = ("dream", "study")
STATES = ("queued", "running", "done", "failed", "cancelled")

JobArgument = Annotated[
    str, typer.Argument(help="A job's id, its beginning, or the job's name.", metavar="JOB")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (jobs, show, watch, cancel, retry):
        app.command()(command)


def jobs(
    state: Annotated[
        str | None, typer.Option(help="Only queued, running, done, failed or cancelled ones.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only dream or study jobs.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest.")] = 50,
    json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    if kind is not None and kind not in KINDS:
        raise InvalidInput(f"no kind {kind!r}: kinds are dream and study.")
    if state is not None and state not in STATES:
        raise InvalidInput(f"no state {state!r}: states are {', '.join(STATES)}.")
    found = Context().desk.jobs(state=state, kind=kind, limit=limit + 1)
    if not found:
        wanted = " ".join(word for word in (state, kind) if word)
        none = "No jobs yet: `beholder submit --dir DIR` queues one."
        say(f"No {wanted} jobs." if wanted else none)
    if len(found) > limit:
        say(f"The newest {limit}; --limit shows more.")
    if json:
        print_json([job.row() for job in found[:limit]])
    elif found:
        columns = ["id", "kind", "name", "state", "done", "failed", "age"]
        if any(job.priority != DEFAULT_PRIORITY for job in found[:limit]):
            columns.insert(-1, "priority")
        console().print(table(columns, [_listed(job) for job in found[:limit]]))
    if paused := next((job.paused for job in found if job.paused), None):
        say(f"paused: {paused}")


def _listed(job: "JobView") -> dict[str, Any]:
    age = datetime.now(UTC) - job.created_at
    return {
        "id": job.id,
        "kind": job.kind,
        "name": job.name,
        "state": job.state,
        "done": f"{job.done:,} of {job.total:,}",
        "failed": job.failed or "",
        "priority": job.priority if job.priority != DEFAULT_PRIORITY else "",
        "age": duration(max(0.0, age.total_seconds())),
    }


def show(job: JobArgument, json: JsonOption = False) -> None:
    """Show a job: what it asks, how far it is, what failed, and a study's verdicts."""
    desk = Context().desk
    view = desk.job(job)
    if json:
        print_json(job_document(desk, view))
    else:
        show_job(desk, view)


def job_document(desk: "Desk", job: "JobView") -> dict[str, Any]:
    """The job as JSON has it: its row, its failures, and a study's outcome."""
    failed = desk.items(job.id, state="failed", limit=SHOWN_FAILURES)
    document = {**job.row(), "failures": [_failure(item) for item in failed]}
    overview = desk.overview(job)
    if job.kind == "dream":
        document["precisions"] = list(overview.precisions)
    else:
        from beholder.jobs.verdicts import verdict_row

        judged = [item for item in desk.items(job.id) if item.verdicts]
        document["summary"] = overview.summary.row()
        document["chosen"] = list(overview.chosen)
        document["verdicts"] = [verdict_row(item) for item in judged]
    return document


def _failure(item: "ItemView") -> dict[str, Any]:
    return {
        "position": item.position,
        "source": item.source,
        "layer": item.layer,
        "error": item.error,
    }


def show_job(desk: "Desk", job: "JobView") -> None:
    """Print a job for people."""
    from beholder.jobs.views import SILENT_WORDS

    out = console()
    facts, overview = list(_facts(job)), desk.overview(job)
    if overview.precisions:
        facts.append(("precision", ", ".join(overview.precisions)))
    for label, text in facts:
        out.print(f"{label:10}{text}", markup=False, highlight=False, soft_wrap=True)
    if job.failed:
        _show_failures(desk, job)
    if job.kind == "study":
        _show_study(desk, job, overview)
    elif silent := overview.silent:
        out.print(f"{'silent':10}{plural(silent, 'dream')}: {SILENT_WORDS}", highlight=False)


def _facts(job: "JobView") -> Iterator[tuple[str, str]]:
    from beholder.specs import spec_of
    from cli.words import network_words, spec_words

    spec = spec_of("dream" if job.kind == "dream" else "study", job.spec)
    yield job.kind, f"{job.id}  {job.name}".rstrip()
    yield "state", f"{job.state}, {job.stage}" if job.stage else job.state
    if job.error:
        yield "error", job.error
    if job.paused:
        yield "paused", job.paused
    elif job.waits:
        yield "waits", job.waits
    yield "asks", spec_words(spec)
    yield "network", network_words(job.network, job.network_sha256)
    yield "priority", job.priority
    if job.device != DEFAULT_DEVICE:
        yield "device", job.device
    yield "items", outcome_words(job, "queued", "running", "failed", "cancelled")
    yield "times", _times(job)


def _times(job: "JobView") -> str:
    parts = [f"queued {job.created_at:%Y-%m-%d %H:%M:%S} UTC"]
    if job.started_at:
        until = job.finished_at or datetime.now(UTC)
        took = duration((until - job.started_at).total_seconds())
        parts.append(f"took {took}" if job.finished_at else f"running for {took}")
    return ", ".join(parts)


def _show_failures(desk: "Desk", job: "JobView") -> None:
    # A picture that can't be read fails at every layer; once is enough. So is the job's own error.
    layers: dict[tuple[str, str | None], list[int | None]] = {}
    for item in desk.items(job.id, state="failed", limit=READ_FAILURES):
        if job.error is None or item.error != job.error:
            layers.setdefault((item.source, item.error), []).append(item.layer)
    if not layers:
        return
    out = console()
    out.print("\nfailed", style="bold")
    for (source, error), at in list(layers.items())[:SHOWN_FAILURES]:
        line = f"  {source}{_at(at)}: {error}"
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if len(layers) > SHOWN_FAILURES or job.failed > READ_FAILURES:
        out.print("  and more: results.json of `beholder fetch` lists all.", highlight=False)


def _at(layers: "list[int | None]") -> str:
    from cli.words import layer_words

    known = [layer for layer in layers if layer is not None]
    if len(known) > 1:
        return f" ({len(known)} layers)"
    return f" at {layer_words(known[0])}" if known else ""


def _show_study(desk: "Desk", job: "JobView", overview: "Overview") -> None:
    from beholder.jobs.verdicts import blinded_words

    first = desk.items(job.id, limit=SHOWN_VERDICTS)
    judged = [_verdict_cells(item) for item in first if item.verdicts]
    out, chosen = console(), overview.chosen
    if chosen:
        shown = [
            {**row, "channels": " ".join(str(channel) for channel in row["channels"])}
            for row in chosen
        ]
        out.print(table(["layer", "layer_name", "channels"], shown, title=blinded_words(chosen)))
    if judged:
        title = f"first {len(judged)} of {job.total:,}" if job.total > SHOWN_VERDICTS else ""
        columns = ["picture", "role", "intact", "blinded", "changed"]
        out.print(table(columns, judged, title=title))
        # Once it has concluded, a sound study's summary leaves out what chose and tuned.
        whose = "of the test pictures alone, " if overview.conclusion else ""
        out.print(f"{whose}{overview.summary.words()}", markup=False, highlight=False)
    if overview.conclusion:
        _show_conclusion(job, overview.conclusion)


def _show_conclusion(job: "JobView", conclusion: dict[str, Any]) -> None:
    """What a sound study showed, and what not; of test pictures, as its summary."""
    out = console()
    out.print(f"\n{conclusion['sentence']}", markup=False, highlight=False)
    for caveat in conclusion["caveats"]:
        out.print(f"- {caveat}", markup=False, highlight=False)
    out.print(f"`beholder report {job.id}` has the figures.", markup=False, highlight=False)


def _verdict_cells(item: "ItemView") -> dict[str, Any]:
    from beholder.jobs.verdicts import label_kept

    cells = {
        kind: f"{verdict.label} {verdict.confidence:.2%}" for kind, verdict in item.verdicts.items()
    }
    changed = "yes" if label_kept(item) is False else " "
    return {"picture": item.source, "role": item.role, **cells, "changed": changed}


def watch(job: JobArgument) -> None:
    """Follow a job until it ends. Exit code 1 when some of it failed."""
    desk = Context().desk
    final = follow(desk, desk.job(job).id)
    if final.error:
        say(final.error)
    say(f"job {final.id}: {final.state}, {outcome_words(final)}.")
    if final.failed or final.state != "done":
        raise typer.Exit(EXIT_FAILED)


def cancel(job: JobArgument) -> None:
    """End a job now. What is done stays."""
    desk = Context().desk
    view = desk.job(job)
    desk.cancel(view.id)
    say(f"job {view.id}: cancelled, {view.done:,} of {view.total:,} were done.")


def retry(job: JobArgument) -> None:
    """Run again what failed or was cancelled of a job that has ended."""
    desk = Context().desk
    view = desk.job(job)
    retried = desk.retry(view.id)
    what = plural(retried, "item") if retried else "the rest of it"
    say(f"job {view.id}: {what} queued again.")
    if view.error:
        say(f"It failed before: {view.error}")
