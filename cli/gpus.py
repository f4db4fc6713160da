"""Whether this machine has GPUs, as far as can be told without torch: `gpu_cards`."""

from pathlib import Path

WORKER_SILENCE_S = 30.0  # several heartbeats


def gpu_cards() -> list[str]:
    """This machine's. Asking torch would import it; the driver's device files say it too."""
    return sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
