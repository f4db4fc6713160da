"""Whether a GPU is at hand, as far as can be told without torch: `gpu_cards`, `gpu_is_known_of`."""

from pathlib import Path

from cli.context import Context

WORKER_SILENCE_S = 30.0  # several heartbeats


def gpu_cards() -> list[str]:
    """This machine's. Asking torch would import it; the driver's device files say it too."""
    return sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))


def gpu_is_known_of(context: Context) -> bool:
    """Whether a worker that is alive has one, or could have where this machine starts them."""
    from beholder.jobs.workers import live_workers

    alive = live_workers(context.db, within_s=WORKER_SILENCE_S)
    if alive or context.settings.redis_url is not None:
        return any(worker.device.startswith("cuda") for worker in alive)
    return context.settings.device != "cpu" and bool(gpu_cards())
