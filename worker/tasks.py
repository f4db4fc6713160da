"""The one task, and what a child process sets up before its first: a runner and a sweep.

The parent process opens nothing and imports no torch, so that its children start clean.
"""

import logging
import os
import time
from typing import Any

from celery import Celery, signals

from beholder.errors import BeholderError
from beholder.settings import Settings
from worker.app import RUN_CHUNK
from worker.flag import SharedFlag

log = logging.getLogger(__name__)
OUTAGE_PAUSE_S = 2.0


def register(app: Celery, settings: Settings) -> None:
    """Add the task to `app`, and the set-up of its child processes."""
    child: dict[str, Any] = {}
    # Made before the fork, so that the parent can tell every child that the worker stops.
    stopping = SharedFlag()

    @signals.worker_process_init.connect(weak=False)
    def start(**_: object) -> None:
        from worker.child import Child

        try:
            child["it"] = Child(app, settings, stopping)
        except Exception:
            # Celery would keep a child that can do nothing.
            log.exception("a child can't start")
            time.sleep(OUTAGE_PAUSE_S)
            os._exit(1)

    @signals.worker_shutting_down.connect(weak=False)
    def stop(**_: object) -> None:
        stopping.set()

    @app.task(name=RUN_CHUNK)
    def run_chunk(chunk_id: int) -> None:
        try:
            child["it"].run(int(chunk_id))
        except BeholderError as error:
            # A sweep queues it again. Not at once: what does not answer needs a moment.
            log.warning("chunk %s: %s", chunk_id, error)
            time.sleep(OUTAGE_PAUSE_S)
        except Exception as error:
            log.exception("chunk %s", chunk_id)
            if "CUDA" in str(error):
                os._exit(1)  # a broken CUDA context stays broken; the next child starts anew
