"""From pictures to a queued job, and waiting for it: what `submit`, `study` and `demo` share."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from beholder.errors import InvalidInput, ServiceUnavailable
from beholder.priorities import DEFAULT_PRIORITY, Priority
from cli.context import Context
from cli.output import plural, print_json, say
from cli.progress import counting, follow, outcome_words

if TYPE_CHECKING:
    from beholder.intake import Found
    from beholder.jobs.spool import Entry, Role
    from beholder.jobs.submit import CreatedJob
    from beholder.jobs.views import JobView
    from beholder.specs import Spec

EXIT_FAILED = 1
SHOWN_REASONS = 5


@dataclass(frozen=True)
class Source:
    """Pictures of one role, given by name or by folder."""

    files: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()
    recursive: bool = False
    role: "Role | None" = None

    def find(self) -> "Iterator[Found]":
        """Each picture, in order."""
        from beholder.intake import find_pictures

        return find_pictures(self.files, self.folders, recursive=self.recursive)

    def count(self) -> int:
        """How many there are."""
        from beholder.intake import count_pictures

        return count_pictures(self.files, self.folders, recursive=self.recursive)

    def take_in(self, context: Context) -> "Generator[Entry]":
        """Keep them in the store; an entry of each, in order."""
        from beholder.intake import take_in

        return take_in(
            context.store, self.find(), max_pixels=context.settings.max_pixels, role=self.role
        )


def queue_job(
    context: Context,
    spec: "Spec",
    sources: Sequence[Source],
    *,
    name: str,
    priority: Priority = DEFAULT_PRIORITY,
) -> "CreatedJob":
    """Take the pictures in, write the job, tell the workers. All of it or nothing is queued."""
    from beholder.jobs.submit import create_job

    reasons: list[str] = []
    with closing(_entries(context, spec, sources, reasons.append)) as entries:
        created = create_job(context.db, spec, entries, name=name, priority=priority)
    for reason in reasons[:SHOWN_REASONS]:
        say(reason)
    if len(reasons) > SHOWN_REASONS:
        say(f"... and {plural(len(reasons) - SHOWN_REASONS, 'more picture')} that can't be used.")
    wake_workers(context)
    return created


def wait_for(context: Context, job_id: str) -> "JobView":
    """Follow a job to its end; on the embedded default, run the service meanwhile if none does."""
    with running_service(context) as ensure:
        return follow(context, job_id, on_poll=ensure)


@contextmanager
def running_service(context: Context) -> "Iterator[Callable[[], None]]":
    """What starts the service where none runs, to be called now and then; stopped at the end."""
    from beholder.service import Service

    service = Service(context.settings, on_event=say)

    def ensure() -> None:
        # Another command's service may end before this job does; then this one takes over.
        if context.settings.redis_url is None and not service.started:
            service.start()

    try:
        yield ensure
    finally:
        service.stop()


def report(
    context: Context, created: "CreatedJob", *, wait: bool, output: Path | None, as_json: bool
) -> None:
    """Say what was queued; with `wait`, see it through and exit with its outcome."""
    from beholder.jobs.queries import get_job

    say(f"job {created.id}: {plural(created.total - created.failed, 'item')} queued.")
    if wait:
        job = wait_for(context, created.id)
        _say_ended(context, job, output)
    else:
        job = get_job(context.db, created.id)
        if _nothing_runs(context):
            say("Nothing runs them now: start `beholder up`, or add --wait next time.")
    if as_json:
        print_json(job.row())
    else:
        print(job.id)  # JOB=$(beholder submit ...)
    if wait and (job.failed or job.state != "done"):
        raise typer.Exit(EXIT_FAILED)


def prepare(context: Context, spec: "Spec", *, wait: bool, output: Path | None) -> None:
    """What comes before anything is queued: refuse what can't work, fetch weights to wait with.

    A worker would download vgg19's weights too, but where nobody sees how far it is.
    """
    if output and not wait:
        raise InvalidInput("--output needs --wait; or fetch later: `beholder fetch JOB -o DIR`.")
    if wait and spec.network == "vgg19" and context.settings.redis_url is None:
        from beholder.science.imagenet import FILE, imagenet_file

        if not (context.settings.networks_dir / FILE).is_file():
            imagenet_file(context.settings.networks_dir, progress=True)


def _entries(
    context: Context, spec: "Spec", sources: Sequence[Source], on_reason: Callable[[str], None]
) -> "Generator[Entry]":
    """The job's entries as they are taken in, with progress; reasons of what can't be used."""
    from beholder.jobs.submit import noise_entries
    from beholder.specs import DreamSpec

    # A first look counts, and finds a missing folder before anything is stored.
    with counting("taking pictures in", sum(source.count() for source in sources)) as on_taken:
        for source in sources:
            with closing(source.take_in(context)) as taken:
                for entry in taken:
                    if entry.error:
                        on_reason(f"{entry.source}: {entry.error}")
                    yield entry
                    on_taken()
    if isinstance(spec, DreamSpec):
        yield from noise_entries(spec)


def wake_workers(context: Context) -> None:
    """Tell the workers. If Redis can't be reached nothing is lost: a worker's sweep finds it."""
    from beholder.jobs.turns import waiting
    from worker.queue import MOST_BELLS

    if _nothing_runs(context):
        return
    try:
        context.queue.ring(waiting(context.db, limit=MOST_BELLS))
    except ServiceUnavailable as error:
        say(f"{error} The job is kept, and runs once a worker is there.")


def _nothing_runs(context: Context) -> bool:
    """Whether this is the embedded default with its service stopped."""
    from beholder.service import service_runs

    return context.settings.redis_url is None and not service_runs(context.settings)


def _say_ended(context: Context, job: "JobView", output: Path | None) -> None:
    if job.error:
        say(job.error)
    say(f"job {job.id}: {job.state}, {outcome_words(job)}.")
    if output is None:
        say(f"`beholder show {job.id}` shows it; `beholder fetch {job.id} -o DIR` writes files.")
        return
    from cli.export import export_job

    exported = export_job(context, job.id, output)
    say(exported.words())
