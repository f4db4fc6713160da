"""A lease counts from when the database could be written; renewing waits for no chunk's lock."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from beholder.jobs.claims import claim_next, renew_all
from beholder.jobs.database import Database
from beholder.jobs.models import Chunk
from beholder.jobs.schema import upgrade
from beholder.jobs.spool import Entry
from beholder.jobs.submit import create_job
from beholder.specs import DreamSpec

pytestmark = pytest.mark.slow


def test_a_wait_for_the_lock_does_not_eat_the_lease(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    upgrade(url)
    database, other = Database.open(url), Database.open(url)
    create_job(database, DreamSpec(), [Entry("noise", None, seed=1)])
    (held,) = claim_next(database, worker="a", lease_s=1.0)
    locked = threading.Event()

    def hold() -> None:
        with other.write():
            locked.set()
            time.sleep(1.5)

    thread = threading.Thread(target=hold)
    thread.start()
    locked.wait(10)
    assert renew_all(database, [held], lease_s=1.0) == {held.token: "held"}
    thread.join()
    with database.read() as session:
        lease_until = session.get_one(Chunk, held.chunk_id).lease_until
    assert lease_until is not None
    assert lease_until - time.time() > 0.5


def test_renewing_waits_for_none_that_is_just_ended(postgres_database: Database) -> None:
    """Whoever ends it may be about to lock what the renewal has locked: a deadlock."""
    database = postgres_database
    job = create_job(
        database, DreamSpec(), [Entry(f"{n}", None, seed=n) for n in range(4)], chunk_size=1
    )
    claims = [claim for _ in range(4) for claim in claim_next(database, worker="a", lease_s=1.0)]
    with ThreadPoolExecutor(1) as pool:
        with database.write() as session:
            ending = session.get_one(Chunk, claims[1].chunk_id, with_for_update=True)
            renewal = pool.submit(renew_all, database, claims, lease_s=60.0)
            assert renewal.result(10) == {claim.token: "held" for claim in claims}
            ending.state, ending.token = "done", None
        assert renew_all(database, claims, lease_s=60.0)[claims[1].token] == "lost"
    with database.read() as session:
        leases = select(Chunk.lease_until).where(Chunk.job_id == job.id, Chunk.state == "running")
        assert all(until - time.time() > 30 for until in session.scalars(leases))
