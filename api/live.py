"""Live progress: one poller for all watchers of all jobs, so that watching costs no queries.

`Live.watch(job_id)` is what one watcher iterates over. A job is looked at while anyone watches it;
each change becomes a numbered event, and the last ones are kept for those who come back. Jobs
are retried, so an `end` from before someone asked may be out of date: they get a fresh look.
"""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool

from beholder.errors import BeholderError, NotFound
from beholder.jobs.database import Database
from beholder.jobs.models import FINISHED
from beholder.jobs.watching import Look, latest_pictures, looks

log = logging.getLogger(__name__)
POLL_S = 0.5
HEARTBEAT_S = 10.0
KEPT_EVENTS = 100  # of each watched job
PACE_WINDOW_S = 30.0
GRACE_S = 15.0  # a job is looked at for so long after its last watcher has gone


@dataclass(frozen=True)
class Event:
    """A job's state after a change. name: "progress", or "end" for the last one.

    looked_at: monotonic seconds from before the database was asked.
    """

    looked_at: float
    number: int
    id: str
    name: str
    data: dict[str, Any]


@dataclass
class _Channel:
    """A watched job: its events, its pace, and who waits for more."""

    run: str = field(default_factory=lambda: secrets.token_hex(3))  # other numbers, other events
    watchers: int = 0
    left_at: float = 0.0
    number: int = 0
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))
    samples: deque[tuple[float, float]] = field(default_factory=deque)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    gone: bool = False

    @property
    def ended(self) -> bool:
        """Whether the job had ended when it was last looked at."""
        return bool(self.events) and self.events[-1].name == "end"

    def number_of(self, last_id: str | None) -> int:
        """The number in an event's id; -1 when it is not of this channel."""
        run, _, number = (last_id or "").partition("-")
        return int(number) if run == self.run and number.isdecimal() else -1


class Live:
    """Looks at each watched job twice a second, whoever many watch it."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._channels: dict[str, _Channel] = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def close(self) -> None:
        """Stop looking, and let every watcher go, now and from now on."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for channel in self._channels.values():
            channel.gone = True
            channel.changed.set()

    async def has_ended(self, job_id: str, last_id: str | None) -> bool:
        """Whether who has seen the event `last_id` has seen them all. Raises NotFound.

        Costs no query while the job is watched, but of who has seen an end.
        """
        if job_id in self._channels and not (last_id or "").startswith("end-"):
            return False
        look = (await run_in_threadpool(looks, self._db, [job_id])).get(job_id)
        if look is None:
            raise NotFound(f"no job {job_id!r}: `beholder jobs` lists them.")
        return look.progress.state in FINISHED and last_id == _end_id(look)

    async def watch(self, job_id: str, last_id: str | None = None) -> AsyncIterator[Event | None]:
        """Events of a job from the one after `last_id`, else from how it is now, to its end.

        None now and then, when nothing has happened.
        """
        if self._closed:
            return
        asked_at = time.monotonic()
        channel = self._join(job_id)
        try:
            seen = channel.number_of(last_id)
            while True:
                # Taken before the events are looked at, so that no change is missed.
                changed = channel.changed
                for event in _since(channel, seen):
                    if event.name == "end" and event.looked_at < asked_at:
                        self._forget(job_id, channel)
                        break
                    yield event
                    seen = event.number
                    if event.name == "end":
                        return
                if channel.gone:
                    return
                if self._channels.get(job_id) is not channel:
                    _leave(channel)
                    channel, seen = self._join(job_id), -1
                    continue
                try:
                    await asyncio.wait_for(changed.wait(), HEARTBEAT_S)
                except TimeoutError:
                    yield None
        finally:
            _leave(channel)

    def _join(self, job_id: str) -> _Channel:
        channel = self._channels.setdefault(job_id, _Channel())
        channel.watchers += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll_forever(), name="live")
        return channel

    def _forget(self, job_id: str, channel: _Channel) -> None:
        """Let a fresh channel take this one's place, unless one has."""
        if self._channels.get(job_id) is channel:
            del self._channels[job_id]

    async def _poll_forever(self) -> None:
        while self._channels:
            try:
                await self._poll()
            except BeholderError as error:  # watchers wait until the database is back
                log.warning("live: %s", error)
            except Exception:
                log.exception("live")
            await asyncio.sleep(POLL_S)

    async def _poll(self) -> None:
        """Look at every watched job: two queries, and one for each that got further."""
        before = time.monotonic() - GRACE_S
        left = [
            key for key, one in self._channels.items() if not one.watchers and one.left_at < before
        ]
        for job_id in left:
            del self._channels[job_id]
        watched = dict(self._channels)
        if not watched:
            return
        looked_at = time.monotonic()
        found = await run_in_threadpool(looks, self._db, list(watched))
        for job_id, channel in watched.items():
            look = found.get(job_id)
            if look is None:
                channel.gone = True
                self._forget(job_id, channel)
                _wake(channel)
                continue
            await self._note(channel, look, looked_at)

    async def _note(self, channel: _Channel, look: Look, looked_at: float) -> None:
        """Make an event of what has changed since the last."""
        ended = look.progress.state in FINISHED
        if channel.ended and not ended:  # retried: nobody may find that end among the events
            channel.events.clear()
            channel.samples.clear()
        now = time.time()
        channel.samples.append((now, look.through))
        while now - channel.samples[0][0] > PACE_WINDOW_S:
            channel.samples.popleft()
        last = channel.events[-1].data if channel.events else {}
        data = _described(look, _rate(channel, look, now))
        same = {**data, "rate": 0, "seconds_left": 0}
        if last and same == {**last, "rate": 0, "seconds_left": 0, "latest": data["latest"]}:
            return
        if last.get("done") == look.progress.done:
            data["latest"] = last["latest"]
        else:
            latest = await run_in_threadpool(latest_pictures, self._db, look.job_id)
            data["latest"] = [_shown(look.job_id, asdict(one)) for one in latest]
        channel.number += 1
        name = _end_id(look) if ended else f"{channel.run}-{channel.number}"
        kind = "end" if ended else "progress"
        channel.events.append(Event(looked_at, channel.number, name, kind, data))
        _wake(channel)


def _since(channel: _Channel, seen: int) -> list[Event]:
    """The events after number `seen`; only the latest for who has seen none of the kept ones."""
    if not channel.events:
        return []
    if channel.events[0].number - 1 <= seen <= channel.number:
        return [event for event in channel.events if event.number > seen]
    return [channel.events[-1]]


def _leave(channel: _Channel) -> None:
    channel.watchers -= 1
    channel.left_at = time.monotonic()


def _wake(channel: _Channel) -> None:
    channel.changed.set()
    channel.changed = asyncio.Event()


def _rate(channel: _Channel, look: Look, now: float) -> float | None:
    """Items a second lately; at the first look, since the job began."""
    begun, before = channel.samples[0]
    if now - begun >= 2 * POLL_S and look.through > before:
        return (look.through - before) / (now - begun)
    if look.started_at is None or look.through <= 0:
        return None
    until = look.finished_at or datetime.fromtimestamp(now, UTC)
    return look.through / max((until - look.started_at).total_seconds(), 0.001)


def _described(look: Look, rate: float | None) -> dict[str, Any]:
    row = look.progress.row()
    left = (row["total"] - look.through) / rate if rate else None
    ended = row["state"] in FINISHED
    return {
        "job_id": look.job_id,
        "kind": look.kind,
        **row,
        "error": look.error,
        "paused": look.paused,
        "waits": look.waits,
        "completed": round(look.through, 2),
        "rate": None if rate is None else round(rate, 4),
        "seconds_left": None if ended or left is None else round(left, 1),
        "latest": [],
    }


def _shown(job_id: str, picture: dict[str, Any]) -> dict[str, Any]:
    url = f"/v1/jobs/{job_id}/items/{picture['position']}/pictures/{picture['step']}"
    return {**picture, "url": url, "thumbnail": f"{url}?thumb=256"}


def _end_id(look: Look) -> str:
    """The last event's id is the same in every process: who has it needs no more."""
    when = look.finished_at.timestamp() if look.finished_at else 0
    return f"end-{look.progress.state}-{when:.6f}"
