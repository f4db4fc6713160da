"""Random histories: whatever happens to a job, its counters are its rows, and it can be ended."""

import random
from contextlib import suppress
from itertools import product

import pytest

from beholder.errors import Conflict
from beholder.jobs.claims import release
from beholder.jobs.control import cancel, retry
from beholder.jobs.finish import fail_chunk_job
from beholder.jobs.queries import items

pytestmark = pytest.mark.slow  # real databases and servers; seconds in all

STEPS = 30
ACTIONS = {
    "claim": 8, "finish": 8, "fail": 3, "release": 1, "die": 2, "sweep": 4, "give up": 1,
    "cancel": 1, "retry": 3,
}  # fmt: skip
FILM = {"dream": {}, "film": {"zoom": 1.5, "frames": 3}}


class History:
    """One job, several workers, and chance."""

    def __init__(self, desk, seed, kind):
        self.desk, self.dice, self.held = desk, random.Random(seed), []
        size = self.dice.choice([1, 2, 3])
        self.job_id = (
            desk.study(3, 2, chunk_size=size)
            if kind == "study"
            else desk.dream(
                4 if kind == "dream" else 2, layers=(28, 5), chunk_size=size, **FILM[kind]
            )
        ).id

    def step(self):
        (action,) = self.dice.choices(list(ACTIONS), list(ACTIONS.values()))
        getattr(self, "_" + action.replace(" ", "_"))()
        self.desk.check(self.job_id)

    def _claim(self):
        self.held += self.desk.claims(room=self.dice.choice([1, 4]))

    def _drawn(self):
        """A claim, stale or not; finished ones are tried again too."""
        return self.dice.choice(self.held) if self.held else None

    def _finish(self):
        if held := self._drawn():
            self.desk.finish(held)

    def _fail(self):
        if held := self._drawn():
            failing = {item.position for item in held.items if self.dice.random() < 0.5}
            self.desk.finish(held, failing=failing.__contains__)

    def _release(self):
        if held := self._drawn():
            release(self.desk.database, held)

    def _give_up(self):
        if held := self._drawn():
            fail_chunk_job(self.desk.database, held, "no weights here")

    def _die(self):
        self.desk.die()

    def _sweep(self):
        self.desk.sweep()

    def _cancel(self):
        self._unless_refused(cancel)

    def _retry(self):
        self._unless_refused(retry)

    def _unless_refused(self, change):
        with suppress(Conflict):
            change(self.desk.database, self.job_id)

    def to_the_end(self):
        """Everybody dies, then all goes well, with one last retry for what went wrong before."""
        self._die()
        self._sweep()
        self.desk.run(self.job_id)
        self._retry()
        self.desk.run(self.job_id)
        self.desk.check(self.job_id)


@pytest.mark.parametrize(
    ("kind", "seed"),
    [*product(["dream", "study"], range(1, 9)), *product(["film"], range(1, 3))],
)
def test_a_job_survives_whatever_happens(desk, monkeypatch, seed, kind):
    if seed % 2 == 0:  # rows follow a job that ended early later
        monkeypatch.setattr("beholder.jobs.rows.SETTLE_LIMIT", 0)
    history = History(desk, seed, kind)
    for _ in range(STEPS):
        history.step()
    history.to_the_end()
    job = desk.job(history.job_id)
    assert (job.state, job.done) == ("done", job.total)
    for item in items(desk.database, history.job_id):
        assert len(item.files) == (0 if kind == "study" else 1)
        assert len(item.verdicts) == (2 if kind == "study" else 0)
