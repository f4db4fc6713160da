"""What one child process of a worker holds: its runner, and the sweep that finds lost work.

The sweep runs in a few of all workers' children (`beholder.jobs.watch`), which are all where there
are no more, so that work is found again wherever one worker is left. What may take minutes, since
it goes through the store, has a thread of its own (`worker.tidying`).
"""

import logging
import threading
import time
from contextlib import suppress

from celery import Celery

from beholder import traces
from beholder.alive import Alive, worker_name
from beholder.devices import Device, class_of
from beholder.errors import BeholderError, ServiceUnavailable
from beholder.jobs.database import Database
from beholder.jobs.silence import Silence
from beholder.jobs.sweep import sweep
from beholder.jobs.turns import waiting
from beholder.jobs.watch import Watch
from beholder.jobs.workers import forget, forget_silent
from beholder.logs import always_about
from beholder.science.networks import find_device
from beholder.settings import Settings
from beholder.store import Store
from worker.flag import SharedFlag
from worker.heartbeat import Heartbeat
from worker.lease import Flag
from worker.orders import Orders
from worker.pause import ROOM_BYTES, Pause
from worker.queue import MOST_BELLS, Queue
from worker.runner import Runner
from worker.tidying import Tidier

log = logging.getLogger(__name__)
SIGNING_OFF_S = 1.0


class Child:
    """Works through what waits, and sweeps in the background."""

    def __init__(
        self, app: Celery, settings: Settings, stopping: Flag, draining: SharedFlag | None = None
    ) -> None:
        """draining: raised where this worker is told to finish what it has and end."""
        self._settings = settings
        self._stopping = stopping
        self._queue = Queue(app)
        self._db = Database.open(settings.database)
        name = worker_name()
        always_about(worker=name)
        traces.set_up("beholder-worker")
        device = str(find_device(settings.device))
        self._device = class_of(device)
        self._heartbeat = Heartbeat(self._db, name, device)
        self._orders = Orders(stopping, draining or SharedFlag())
        store = Store.open(settings.store)
        self._runner = Runner(
            self._db,
            store,
            settings,
            name,
            stopping,
            ring=self.ring,
            working=self._heartbeat.working,
            device=self._device,
            claiming=self._orders.claiming,
        )
        self._alive = Alive(settings.home, name)
        self._silence = Silence(settings.lease_s, settings.look_s, self._alive.is_dead)
        self._watch = Watch(name, settings.lease_s, settings.look_s)
        self._pause = Pause(self._insist_on_means, self._say, self._orders.ending)
        threading.Thread(target=self._sweep_forever, name="sweep", daemon=True).start()
        tidy_up = self._runner.tidy_up
        Tidier(self._db, store, settings, name, stopping, tidy_up=tidy_up).start()

    def work(self) -> None:
        """Run chunks until none is left, or this worker is asked to stop.

        Without room for what they would write, or without the store, work pauses until it is there.
        A worker that is told to pause stays here, so that it hears no bells that are for others.
        """
        self._pause.around(self._runner.run)
        while self._orders.paused:
            self._ring_for_what_waits()
            self._orders.wait()
            self._pause.around(self._runner.run)

    def _insist_on_means(self) -> None:
        self._runner.insist_on_store()  # before anything is written to what is in its place
        self._runner.store.probe(ROOM_BYTES, self._heartbeat.name)
        self._db.probe(ROOM_BYTES)

    def _say(self, paused: str | None) -> None:
        """Let people know at once, where the database can still be written."""
        self._heartbeat.paused = paused
        with suppress(BeholderError):
            self._beat()

    def ring(self, count: int, device: Device | None = None) -> None:
        """Tell workers of `count` new chunks; without Redis that is left to a sweep.

        device: what their job asks for; None for what this worker could do.
        """
        try:
            self._queue.ring(count, device or self._device)
        except ServiceUnavailable as error:
            log.warning("%s A sweep will ring for %d chunks.", error, count)

    def sweep(self) -> None:
        """Put right what has no live worker, and ring for what nobody may have heard of."""
        self._runner.give_back_the_rest()
        ended = self._alive.ended()
        now = time.monotonic()
        watching = self._watch.is_mine(self._db, now)
        if watching or ended:
            sweep(self._db, self._silence, now=now)
        forget(self._db, ended)  # before their locks, which say that they have ended
        self._alive.forget(ended)
        if watching:
            forget_silent(self._db)
        if watching or ended:
            self._ring_for_what_waits()

    def _ring_for_what_waits(self) -> None:
        """While bells wait, workers are too busy to hear them, and find the work by themselves."""
        heard = {device for device, bells in self._queue.lengths().items() if bells == 0}
        if heard:
            some = waiting(self._db, limit=MOST_BELLS)
            self._queue.ring_all({device: some[device] for device in heard})

    def end(self) -> None:
        """Sign off. An end waits for no database: where it is slow, the lock says the same."""
        last = threading.Thread(target=self._sign_off, name="end", daemon=True)
        last.start()
        last.join(SIGNING_OFF_S)

    def _sign_off(self) -> None:
        with suppress(BeholderError):
            self._heartbeat.end()
        traces.flush()  # last, since a collector that does not answer takes its time

    def _beat(self) -> None:
        """Raises BeholderError where the database can't be written, and a sweep had no use."""
        try:
            self._heartbeat.beat(
                self._runner.claimed, self._runner.items, self._runner.passed_over.reason
            )
            self._orders.take(self._heartbeat.told)
        except BeholderError:
            raise
        except Exception:
            log.exception("heartbeat")

    def _sweep_forever(self) -> None:
        while not self._stopping.is_set():
            try:
                self._alive.say_so()
                self._beat()
                self.sweep()
            except BeholderError as error:
                log.warning("sweep: %s", error)
            except Exception:
                log.exception("sweep")
            time.sleep(self._settings.sweep_s)
