"""Random histories of jobs, deaths and damage.

After gc nothing that is referred to is missing, and nothing else is left; verify finds exactly the
damage that was done.
"""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from beholder.errors import Conflict
from beholder.jobs.claims import give_up
from beholder.jobs.control import cancel, retry
from beholder.jobs.control import delete as delete_job
from beholder.jobs.models import FINISHED, OPEN, Chunk, File, Item, Job
from beholder.jobs.removal import GONE
from beholder.upkeep.checkpoints import Tidying
from beholder.upkeep.garbage import collect
from beholder.upkeep.mend import mend, mendable
from tests.emptying import empty

pytestmark = pytest.mark.slow
# Often enough what makes files, and leaves some in somebody's hand.
DEEDS = (
    *("dream", "noise", "film", "study", "study"),
    *("claim", "write", "finish") * 4,
    *("fail", "give_up", "die", "cancel", "retry", "delete", "gc", "put", "mend"),
)


class History:
    """Jobs on a home, some claims in hand, and what has been done so far."""

    def __init__(self, home):
        self.home, self.held = home, []

    def do(self, deed, number):
        getattr(self, deed)(number)

    def dream(self, number):
        self.home.submit([number, number + 1], snapshots=(1, 2))

    def noise(self, number):
        self.home.submit([number], noise=1 + number % 2, layers=(5, 28))

    def film(self, number):
        self.home.submit([number, number + 1], zoom=1.5, frames=2)

    def study(self, number):
        self.home.submit_study(1 + number % 3, number % 2)

    def claim(self, number):
        if claim := self.home.claim():
            self.held.append(claim)

    def write(self, number):
        """A worker writes some of its files, and says no more."""
        if self.held and (claim := self.held[number % len(self.held)]).stage == "dream":
            self.home.write(claim, claim.items[0])

    def finish(self, number, failing=()):
        if self.held:
            self.home.finish(self.held.pop(number % len(self.held)), failing=failing)

    def fail(self, number):
        self.finish(number, failing=range(number % 4))

    def give_up(self, number):
        """Its worker met what nobody foresaw, and could not even remove its files."""
        if self.held:
            give_up(self.home.db, self.held.pop(number % len(self.held)), "no reason given.")

    def die(self, number):
        self.home.die()

    def cancel(self, number):
        self._unless_refused(number, cancel)

    def retry(self, number):
        self._unless_refused(number, retry)

    def delete(self, number):
        self._unless_refused(number, delete_job)

    def gc(self, number):
        list(collect(self.home.db, self.home.store, Path("none"), remove=True))

    def put(self, number):
        self.home.store.put_picture(b"of a submission that died %d" % number)

    def mend(self, number):
        found = mendable(self.home.verify(quick=True))
        list(mend(self.home.db, self.home.store, found))

    def write_on(self):
        """Somebody is in the middle of a dream's files."""
        self.dream(3)
        while (claim := self.home.claim()).stage != "dream":
            self.held.append(claim)
        self.home.write(claim, claim.items[0])

    def _unless_refused(self, number, change):
        with self.home.db.read() as session:
            there = select(Job.id).where(~GONE).order_by(Job.created_at)
            jobs = list(session.scalars(there))
        if jobs:
            try:
                change(self.home.db, jobs[number % len(jobs)])
            except Conflict:
                return


def referred(home):
    """The paths that rows refer to, and the folders of live claims; by other means than gc's."""
    with home.db.read() as session:
        files = set(session.scalars(select(File.path)))
        for state, result in session.execute(select(Item.state, Item.result)):
            if state == "done" and result and result.get("start"):
                files.add(result["start"])
        partials = tuple(session.scalars(select(Chunk.partial).where(Chunk.partial.is_not(None))))
        live = tuple(
            f"results/{row.job_id}/{row.token}"
            for row in session.execute(select(Chunk.job_id, Chunk.token, Chunk.state))
            if row.token and row.state in OPEN
        )
        pictures = set(session.scalars(select(Item.picture_sha256).distinct())) - {None}
    return files, (*partials, *live), pictures


def stored(home, folder):
    root = home.path("")
    files = (path for path in (root / folder).rglob("*") if path.is_file())
    return {str(path.relative_to(root)) for path in files}


def emptied(home):
    empty(home.db)
    home.store.remove_folder(".")
    Tidying(home.db, home.store).step()  # as the first worker does: the store is this database's


histories = st.lists(
    st.tuples(st.sampled_from(DEEDS), st.integers(0, 11)), min_size=15, max_size=40
)
# The home is emptied before each example.
many = settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@many
@given(history=histories)
def test_after_gc_what_is_referred_to_is_there_and_nothing_else(home, history):
    emptied(home)
    jobs = History(home)
    for deed, number in history:
        jobs.do(deed, number)
    jobs.write_on()
    assert [one for one in home.verify() if one.kind != "leftover"] == []
    home.age_pictures()
    files, folders, pictures = referred(home)
    in_hand = {path for path in stored(home, "results") if path.startswith(folders)}
    list(collect(home.db, home.store, Path("none"), remove=True))
    left = stored(home, "results")
    assert files | in_hand <= left
    assert [path for path in left - files if not path.startswith(folders)] == []
    assert {path.rpartition("/")[2] for path in stored(home, "pictures")} == pictures
    assert home.verify() == []
    with home.db.read() as session:
        for job in session.scalars(select(Job)):
            assert job.state in (*OPEN, *FINISHED)


DAMAGE = ("lose", "cut", "rot", "leave")


@many
@given(
    history=histories,
    damage=st.lists(st.tuples(st.sampled_from(DAMAGE), st.integers(0, 999)), max_size=6),
)
def test_verify_finds_exactly_the_damage_that_was_done(home, history, damage):
    emptied(home)
    jobs = History(home)
    for deed, number in [("dream", 1), ("claim", 0), ("finish", 0), *history]:
        jobs.do(deed, number)
    home.age_pictures()
    list(collect(home.db, home.store, Path("none"), remove=True))
    with home.db.read() as session:
        files = sorted(session.scalars(select(File.path)))
    pictures = sorted(stored(home, "pictures"))
    planted = set()
    for kind, number in damage:
        planted |= plant(home, kind, number, files, pictures)
    found = home.verify()
    assert {(one.kind, name(one)) for one in found} == planted, json.dumps(
        [one.row() for one in found], indent=1
    )


def plant(home, kind, number, files, pictures):
    """Do damage to a file that has none yet; what is to be found of it."""
    if kind == "leave":
        path = f"results/nojob{number}/token/file"
        home.store.put(path, b"junk")
        return {("leftover", f"nojob{number}")}
    among = files if number % 2 and files else pictures
    if not among:
        return set()
    path = among.pop(number % len(among))
    what = "file" if among is files else "picture"
    where = home.path(path)
    if kind == "lose":
        where.unlink()
        return {(f"{what} missing", where.name)}
    data = where.read_bytes()
    where.write_bytes(data[:-1] if kind == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    return {(f"{what} damaged", where.name)}


def name(finding):
    """The last part of the path that a finding is about."""
    if finding.kind.startswith("file"):
        return next(word for word in finding.what.split() if "/" in word).rpartition("/")[2]
    return finding.where.rpartition("/")[2]
