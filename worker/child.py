"""What one child process of a worker holds: its runner, and the sweep that finds lost chunks.

The sweep runs in every child, so that work is found again wherever one worker is left.
"""

import logging
import os
import socket
import threading
import time

from celery import Celery

from beholder.errors import BeholderError, ServiceUnavailable
from beholder.jobs.database import Database
from beholder.jobs.sweep import mark_sent, sweep
from beholder.settings import Settings
from beholder.store import Store
from worker.heartbeat import Heartbeat
from worker.lease import Flag
from worker.queue import Queue
from worker.runner import Runner

log = logging.getLogger(__name__)
RESEND_AFTER_S = 10.0  # a message that is not picked up from an empty queue by then is lost
RESEND_WHEN_BUSY_S = 900.0  # on a queue that never empties, one may have been lost all the same


class Child:
    """Runs chunks, sends those that follow from them, and sweeps in the background."""

    def __init__(self, app: Celery, settings: Settings, stopping: Flag) -> None:
        self._settings = settings
        self._stopping = stopping
        self._queue = Queue(app)
        self._db = Database.open(settings.database)
        name = f"{socket.gethostname()}-{os.getpid()}"
        self._runner = Runner(self._db, Store.open(settings.store), settings, name, stopping)
        self._heartbeat = Heartbeat(self._db, name, settings.device)
        threading.Thread(target=self._sweep_forever, name="sweep", daemon=True).start()

    def run(self, chunk_id: int) -> None:
        """Do a chunk; a worker that is about to end leaves it to others."""
        if not self._stopping.is_set():
            with self._heartbeat.working(chunk_id):
                following = self._runner.run(chunk_id)
            self._send(following)

    def sweep(self) -> None:
        """Send again what is queued in the database but not on its way to anyone."""
        # While messages wait, a chunk's own is most likely among them; an empty queue shows that
        # one was lost. Those never sent are sent at once.
        resend_after_s = RESEND_AFTER_S if self._queue.length() == 0 else RESEND_WHEN_BUSY_S
        self._queue.send(sweep(self._db, now=time.time(), resend_after_s=resend_after_s))

    def _send(self, chunk_ids: tuple[int, ...]) -> None:
        try:
            self._queue.send(chunk_ids)
        except ServiceUnavailable as error:
            log.warning("%s A sweep will send %d chunks.", error, len(chunk_ids))
        else:
            mark_sent(self._db, chunk_ids, now=time.time())

    def _sweep_forever(self) -> None:
        while not self._stopping.is_set():
            try:
                self._heartbeat.beat(self._runner.claimed)
                self.sweep()
            except BeholderError as error:
                log.warning("sweep: %s", error)
            except Exception:
                log.exception("sweep")
            time.sleep(self._settings.sweep_s)
