"""`beholder demo`: the main job on pictures that Beholder draws itself, with nothing to configure.

Everything goes to one folder: the drawn pictures, the data of the embedded default, the results.
"""

import shutil
import sys
import time
from pathlib import Path

from beholder.durations import duration
from beholder.service import Service, require_torch, service_runs
from beholder.settings import Settings
from beholder.specs import DreamSpec, Spec, StudySpec
from cli.context import Context
from cli.output import console, say
from cli.progress import follow
from cli.queueing import Source, queue_job

NETWORK = "specimens"
TARGET = "spiral"
TARGETS, CONTROL_CLASSES = 5, 10
SHOWN_LAYER, SHOWN_CHANNELS = 28, 5

# The article's rates (0.01 and 0.02) are for ImageNet's VGG19. This narrow network's gradients are
# smaller, so its dreams take larger steps.

DREAMS = DreamSpec(network=NETWORK, layers=(12, 20, 28, 34), learning_rate=0.5)
LAYERS = DreamSpec(network=NETWORK, layers=tuple(range(37)), learning_rate=0.5, steps=20)
DEEPER = DreamSpec(
    network=NETWORK, layers=(34,), learning_rate=0.2, steps=110, snapshots=(10, 30, 60)
)
STUDY = StudySpec(network=NETWORK)
NAMES: dict[Spec, str] = {
    DREAMS: f"{TARGET} dreams",
    LAYERS: "every layer from one start",
    DEEPER: "one dream by steps",
    STUDY: TARGET,
}


def run_demo(folder: Path) -> None:
    """Draw, queue, wait, show. Raises BeholderError when something it needs is missing."""
    from cli.export import export_job
    from cli.jobs import show_job
    from cli.listings import show_channels

    require_torch()
    begun = time.monotonic()
    context = _context(folder)
    targets, others = _draw(folder)
    first = next(iter(sorted(targets.iterdir())))
    if not service_runs(context.settings):  # else they may be another demo's, which goes on
        cancel_unfinished(context)
    with Service(context.settings, on_event=say):
        jobs = [
            _queue(context, DREAMS, [Source(folders=(targets,))]),
            _queue(context, LAYERS, [Source(files=(first,))]),
            _queue(context, DEEPER, [Source(files=(first,))]),
            _queue(
                context,
                STUDY,
                [
                    Source(folders=(targets,), role="target"),
                    Source(folders=(others,), recursive=True, role="control"),
                ],
            ),
        ]
        for job_id in jobs:
            follow(context.desk, job_id)
    study = jobs[-1]
    show_job(context.desk, context.desk.job(study))
    show_channels(context.desk, study=study, layers=(SHOWN_LAYER,), top=SHOWN_CHANNELS)
    for job_id in jobs:
        export_job(context.desk, job_id, folder / "results" / job_id)
    _say_where(folder, jobs, duration(time.monotonic() - begun))


def cancel_unfinished(context: Context) -> None:
    """Cancel what an interrupted demo left, which would run before this one's jobs."""
    desk = context.desk
    own = [(name, spec.model_dump(mode="json")) for spec, name in NAMES.items()]
    for job in [*desk.jobs(state="running"), *desk.jobs(state="queued")]:
        if (job.name, job.spec) in own:
            desk.cancel(job.id)
            say(f"Cancelled {job.id}: {job.name}, which an earlier demo left unfinished")


def _context(folder: Path) -> Context:
    """The embedded default in the demo's own folder, whatever the environment says."""
    context = Context()
    _ = context.own  # a server's jobs are no business of a demo
    context.settings = Settings(
        home=folder.absolute() / "data",
        database_url=None,
        redis_url=None,
        database_password=None,
        redis_password=None,
        store_url=None,
        network=NETWORK,
    )
    return context


def _draw(folder: Path) -> tuple[Path, Path]:
    """Pictures of the target class, and one of each of some other classes."""
    from beholder.specimens.draw import CLASSES, write_samples

    pictures = folder / "pictures"
    others = [label for label in CLASSES if label != TARGET]
    spread = others[:: max(1, len(others) // CONTROL_CLASSES)][:CONTROL_CLASSES]
    write_samples(pictures, per_class=TARGETS, labels=[TARGET])
    write_samples(pictures / "others", per_class=1, labels=spread)
    say(f"Drew {TARGETS} pictures of {TARGET} and {len(spread)} others in {pictures}")
    return pictures / TARGET, pictures / "others"


def _queue(context: Context, spec: Spec, sources: list[Source]) -> str:
    created = queue_job(context.desk, spec, sources, name=NAMES[spec])
    say(f"Queued {created.id}: {NAMES[spec]}, {created.total} items")
    return created.id


def _say_where(folder: Path, jobs: list[str], took: str) -> None:
    results = folder / "results"
    home = folder.absolute() / "data"
    say(f"\nDone in {took}.")
    out = console()
    for label, where in (
        ("pictures", folder / "pictures"),
        ("results", results),
        *(("contact sheet", sheet) for job in jobs for sheet in (results / job).glob("sheets/*")),
        ("data", home),
    ):
        out.print(f"{label:14}{where}", markup=False, highlight=False, soft_wrap=True)
    program = "beholder" if shutil.which("beholder") else sys.argv[0]
    say(f"Look around: BEHOLDER_HOME={home} {program} jobs")
