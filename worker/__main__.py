"""`python -m worker`: one Celery worker on one device, with a child process that does the work."""

import argparse
import importlib
import logging
import os
import socket
import sys
from typing import NoReturn

import celery.apps.worker
from celery.signals import setup_logging
from celery.utils.log import get_multiprocessing_logger

from beholder.devices import DeviceClass
from beholder.errors import BeholderError
from beholder.jobs.schema import check_url
from beholder.logs import always_about, fail, set_up
from beholder.settings import Settings, read_settings
from beholder.store import Store
from worker.app import make_app, queues_of
from worker.device import find_class
from worker.tasks import register
from worker.transport import use_careful_transport


def main() -> None:
    """Run until stopped. SIGTERM gives the chunk in hand back and ends."""
    parser = argparse.ArgumentParser(prog="python -m worker", description=main.__doc__)
    parser.add_argument("--concurrency", type=int, default=1, help="processes on the device")
    arguments = parser.parse_args()
    settings = read_settings()
    name = f"{socket.gethostname()}-{os.getpid()}"
    set_up(settings)
    always_about(worker=name)
    device = check_set_up(settings)
    use_careful_transport()
    # Threads that wait by spinning take the others' cores; the difference alone is small.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read as torch is imported
    # Before any child is forked, so that one which takes a dead one's place starts at once. No
    # device is touched by it, and no thread is left in a fork (OpenBLAS ends its own).
    importlib.import_module("worker.child")
    setup_logging.connect(log_as_set_up)
    app = make_app(settings.broker)
    register(app, settings)
    if settings.log == "json":
        say_nothing_else()
    code = app.start(
        [
            "--quiet",  # it would print a banner, with its settings
            "worker",
            f"--hostname={name}",
            f"--queues={queues_of(device)}",
            "--pool=prefork",
            f"--concurrency={arguments.concurrency}",
            "--loglevel=INFO",
            "--without-gossip",
            "--without-mingle",
            "--task-events" if settings.events else "--without-heartbeat",
        ]
    )
    leave(code or 0)


def log_as_set_up(**_: object) -> None:
    """Leave logging as it is, also that of Celery's pool, which has a form of its own else."""
    pool = get_multiprocessing_logger()
    pool.setLevel(logging.ERROR)
    pool.propagate = True


def say_nothing_else() -> None:
    """Keep Celery from writing lines of its own, past the log, when it is asked to stop."""
    celery.apps.worker.safe_say = lambda *_: None


def check_set_up(settings: Settings) -> DeviceClass:
    """The device's class. Raises BeholderError, before any child starts, where none could work."""
    device = find_class(settings.device)
    Store.open(settings.store)
    check_url(settings.database)
    return device


def leave(code: int) -> NoReturn:
    """End this process, whose children have ended.

    To take torch apart first, module by module, lasts a second or more.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    try:
        main()
    except BeholderError as error:
        fail("worker", error)
