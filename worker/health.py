"""`python -m worker.health`: does a worker of this host go round? Exit 1 and a line if not.

It asks no server: where the database is away, workers wait for it, and need no new start.
"""

import sys
import time

from beholder.alive import Locks
from beholder.settings import read_settings

PATIENCE_S = 180.0  # a round may have to wait for a database that does not answer


def main() -> None:
    """Look at the files that this host's workers hold and touch in each round."""
    settings = read_settings()
    silent_s = Locks(settings.home).silence(time.time())
    if silent_s is None:
        sys.exit(f"no worker of this host runs on {settings.home}.")
    if silent_s > max(PATIENCE_S, 4 * settings.sweep_s):
        sys.exit(f"the worker was last heard of {silent_s:.0f} s ago.")


if __name__ == "__main__":
    main()
