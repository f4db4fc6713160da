"""A lease counts from when the database could be written, however long that took."""

import threading
import time
from pathlib import Path

import pytest

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
