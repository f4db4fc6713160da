"""What workers left that died on a picture for the last time is removed, whoever comes next."""

import pytest

from beholder.errors import ServiceUnavailable
from beholder.jobs.queries import get_job
from beholder.store import Store
from beholder.upkeep.last_claims import remove_last


def died_on(home, **asked):
    """A job of which three workers have written the first picture's results, and died."""
    job_id = home.submit(**asked)
    for _ in range(3):
        claim = home.claim()
        home.write(claim, claim.items[0])
        home.die()
    assert get_job(home.db, job_id).failed == 1
    assert len({path.parent for path in home.results(job_id)}) == 3
    return job_id


@pytest.mark.parametrize("pictures", [1, 2])
def test_nothing_is_left_of_a_picture_that_was_set_aside(home, pictures):
    """Where the job goes on, and where it has ended with it."""
    job_id = died_on(home, pictures=range(pictures), chunk_size=1)
    assert home.verify() == []  # somebody is to remove it
    remove_last(home.db, home.store)
    assert home.results(job_id) == []
    if pictures > 1:
        assert home.run(job_id).done == 1
        remove_last(home.db, home.store)
        assert len(home.results(job_id)) == 1
    assert home.verify() == []


def test_a_folder_that_can_t_be_removed_now_is_later(home, monkeypatch, caplog):
    stubborn, other = died_on(home, pictures=[0]), died_on(home, pictures=[1])
    remove = Store.remove_folder

    def away(store, path):
        if stubborn in path:
            raise ServiceUnavailable("the bucket does not answer.")
        remove(store, path)

    with monkeypatch.context() as outage:
        outage.setattr(Store, "remove_folder", away)
        remove_last(home.db, home.store)
    assert f"what dead workers left of job {stubborn} stays for now" in caplog.text
    assert (len(home.results(stubborn)), home.results(other)) == (3, [])
    remove_last(home.db, home.store)
    assert home.results(stubborn) == []
