"""From pictures to a queued job, and waiting for it: what `submit`, `study` and `demo` share."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from beholder.devices import DEFAULT_DEVICE, Device
from beholder.errors import InvalidInput
from beholder.priorities import DEFAULT_PRIORITY, Priority
from beholder.texts import job_name
from cli.context import Context
from cli.options import in_options
from cli.output import plural, print_json, say
from cli.progress import counting, follow, outcome_words

if TYPE_CHECKING:
    from beholder.intake import Found
    from beholder.jobs.spool import Entry, Role
    from beholder.jobs.submit import CreatedJob
    from beholder.jobs.views import JobView
    from beholder.specs import Spec
    from cli.desk import Desk

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


def queue_job(
    desk: "Desk",
    spec: "Spec",
    sources: Sequence[Source],
    *,
    name: str,
    priority: Priority = DEFAULT_PRIORITY,
    device: Device = DEFAULT_DEVICE,
) -> "CreatedJob":
    """Take the pictures in, write the job, tell the workers. All of it or nothing is queued."""
    with in_options():  # before any picture is taken in
        name = job_name(name)
    reasons: list[str] = []
    with closing(_entries(desk, sources, reasons.append)) as entries:
        created = desk.create(spec, entries, name=name, priority=priority, device=device)
    for reason in reasons[:SHOWN_REASONS]:
        say(reason)
    if len(reasons) > SHOWN_REASONS:
        say(f"... and {plural(len(reasons) - SHOWN_REASONS, 'more picture')} that can't be used.")
    if device == "gpu" and not desk.gpu_is_known_of():
        say("No worker that is alive reports a GPU: the job waits until one does.")
    return created


def wait_for(context: Context, job_id: str) -> "JobView":
    """Follow a job to its end; on the embedded default, run the service meanwhile if none does."""
    with running_service(context) as ensure:
        return follow(context.desk, job_id, on_look=ensure)


@contextmanager
def running_service(context: Context) -> "Iterator[Callable[[], None]]":
    """What starts the service where none runs, to be called now and then; stopped at the end.

    Nothing for a client, whose server has its own.
    """
    if context.settings.server is not None:
        yield lambda: None
        return
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
    say(f"job {created.id}: {plural(created.total - created.failed, 'item')} queued.")
    if created.repeated:
        say("The same request made it before, and was cut off: it is not queued twice.")
    if wait:
        job = wait_for(context, created.id)
        _say_ended(context, job, output)
    else:
        job = context.desk.job(created.id)
        if reason := context.desk.idle():
            say(reason)
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
    own = context.settings.redis_url is None and context.settings.server is None
    if wait and own:
        from beholder.service import check_settings

        check_settings(context.settings)
    if wait and spec.network == "vgg19" and own:
        from beholder.science.imagenet import FILE, imagenet_file

        if not (context.settings.networks_dir / FILE).is_file():
            imagenet_file(context.settings.networks_dir, progress=True)


def _entries(
    desk: "Desk", sources: Sequence[Source], on_reason: Callable[[str], None]
) -> "Generator[Entry]":
    """Pictures' entries as they are taken in, with progress; reasons of what can't be used."""
    # A first look counts, and finds a missing folder before anything is stored.
    with counting("taking pictures in", sum(source.count() for source in sources)) as on_taken:
        for source in sources:
            with closing(desk.take_in(source.find(), source.role)) as taken:
                for entry in taken:
                    if entry.error:
                        on_reason(f"{entry.source}: {entry.error}")
                    yield entry
                    on_taken()


def _say_ended(context: Context, job: "JobView", output: Path | None) -> None:
    if job.error:
        say(job.error)
    say(f"job {job.id}: {job.state}, {outcome_words(job)}.")
    if output is None:
        say(f"`beholder show {job.id}` shows it; `beholder fetch {job.id} -o DIR` writes files.")
    else:
        from cli.export import export_job

        exported = export_job(context.desk, job.id, output)
        say(exported.words())
    if job.state == "done" and job.spec.get("recipe") == "sound":
        say(f"`beholder report {job.id}` writes what it showed.")
