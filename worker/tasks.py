"""The one task, and what a child process sets up before its first: a runner and a sweep.

The parent process imports what its children need, and opens nothing, so that they start clean.
"""

import logging
import os
import signal
import threading
import time
from typing import Any

from celery import Celery, signals

from beholder.errors import BeholderError
from beholder.settings import Settings
from worker.app import WORK
from worker.flag import SharedFlag

log = logging.getLogger(__name__)
OUTAGE_PAUSE_S = 2.0
PARENT_LOOKED_AT_S = 0.5  # how often
ORPHANED_S = 10.0  # that a child has to give back what is in hand, once its parent is gone
ERROR_PAUSE_S = 0.2  # so that an error that never ends fills no disk with its log


def _follow(parent: int, stopping: SharedFlag) -> None:
    """End soon after the parent: were it killed, nobody else would stop its children."""
    while os.getppid() == parent:
        time.sleep(PARENT_LOOKED_AT_S)
    stopping.set()
    time.sleep(ORPHANED_S)
    os._exit(1)


def _end_when_drained(draining: SharedFlag) -> None:
    """End this parent as Celery does it, once its children have finished what they have."""
    while not draining.is_set():
        time.sleep(PARENT_LOOKED_AT_S)
    os.kill(os.getpid(), signal.SIGTERM)


def register(app: Celery, settings: Settings) -> None:
    """Add the task to `app`, and the set-up of its child processes."""
    child: dict[str, Any] = {}
    # Made before the fork: so the parent can tell every child that the worker stops, and a child
    # can tell the parent and the others that they are to finish what they have.
    stopping, draining, ending = SharedFlag(), SharedFlag(), SharedFlag()

    @signals.worker_process_init.connect(weak=False)
    def start(**_: object) -> None:
        from worker.child import Child

        parent = os.getppid()
        threading.Thread(
            target=_follow, args=(parent, stopping), name="parent", daemon=True
        ).start()
        try:
            child["it"] = Child(app, settings, stopping, draining)
        except Exception as error:
            # Celery would keep a child that can do nothing.
            known = isinstance(error, BeholderError)
            log.error("a child can't start: %s", error, exc_info=not known)
            time.sleep(OUTAGE_PAUSE_S)
            os._exit(1)

    @signals.worker_process_shutdown.connect(weak=False)
    def end(**_: object) -> None:
        if "it" in child:
            child["it"].end()

    @signals.worker_shutting_down.connect(weak=False)
    def stop(how: str = "Warm", **_: object) -> None:
        # Celery then waits for what is in hand, which a drain is to finish. Who wants the worker
        # to stop meanwhile signals once more.
        if ending.is_set() or how != "Warm" or not draining.is_set():
            stopping.set()
        ending.set()

    @signals.worker_ready.connect(weak=False)
    def look_out(**_: object) -> None:
        threading.Thread(
            target=_end_when_drained, args=(draining,), name="drain", daemon=True
        ).start()

    @app.task(name=WORK)
    def work() -> None:
        try:
            child["it"].work()
        except BeholderError as error:
            # A sweep rings again. Not at once: what does not answer needs a moment.
            log.warning("%s", error)
            time.sleep(OUTAGE_PAUSE_S)
        except Exception as error:
            log.exception("work")
            if "CUDA" in str(error):
                os._exit(1)  # a broken CUDA context stays broken; the next child starts anew
            time.sleep(ERROR_PAUSE_S)
            child["it"].ring(1)  # for what else there is to do
