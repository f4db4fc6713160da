"""`mend` puts right what can be: afterwards jobs finish, and nothing is wrong any more."""

from contextlib import contextmanager

import pytest
from sqlalchemy import delete, insert, select, update

from beholder.jobs.control import cancel, retry
from beholder.jobs.database import Database
from beholder.jobs.hooks import Hook, add_hook, delivered, due_hooks
from beholder.jobs.models import OPEN, Chunk, File, Item, Job
from beholder.jobs.queries import get_job, items
from beholder.jobs.service_models import Identity
from beholder.plurals import plural
from beholder.store import Store
from beholder.upkeep.findings import Finding
from beholder.upkeep.garbage import collect
from beholder.upkeep.mend import mend, mendable


def leftovers_alone(home, tmp_path):
    """What is left to find; old files of items that were made again go with gc."""
    list(collect(home.db, home.store, tmp_path, remove=True))
    return home.verify()


def test_lost_and_damaged_files_are_made_again(home, tmp_path):
    job_id = home.done([0, 1, 2, 3], noise=1, layers=(5, 28), snapshots=(1, 2))
    lost, damaged, *_ = home.results(job_id)
    lost.unlink()
    damaged.write_bytes(b"rot")
    (deed,) = home.mend()
    hit = {int(path.name[:7]) for path in (lost, damaged)}
    assert f"job {job_id}: {plural(len(hit), 'item')} queued again." == deed
    job = get_job(home.db, job_id)
    assert (job.state, job.queued, job.stage) == ("queued", len(hit), "dream")
    assert {item.position for item in items(home.db, job_id, state="queued")} == hit
    assert home.verify() == []  # what was left of them is gone
    assert home.run(job_id).done == 10
    assert leftovers_alone(home, tmp_path) == []


def test_only_files_of_what_is_made_again_are_removed(home, monkeypatch):
    monkeypatch.setattr("beholder.upkeep.mend._TOGETHER", 1)
    job_id = home.done([0, 1, 2], noise=1, chunk_size=4, snapshots=(1, 2))
    shared, lost, *rest = home.results(job_id)
    other = home.done([3])
    home.store.put(f"results/{job_id}/deadbeef0000/a.png", b"junk")
    lost.unlink()
    home.mend()
    kept = {path for path in rest if path.name[:7] != lost.name[:7]}
    assert set(home.results(job_id)) == kept | {home.path(f"results/{job_id}/deadbeef0000/a.png")}
    assert not shared.exists()
    assert len(home.results(other)) == 1


def test_a_file_that_another_item_has_stays(home):
    job_id = home.done([0, 1], chunk_size=2)
    kept, lost = home.results(job_id)
    path = f"results/{job_id}/{kept.parent.name}/{kept.name}"
    with home.db.write() as session:
        gone, stays = (
            session.scalars(select(Item).where(Item.position == int(one.name[:7]))).one()
            for one in (lost, kept)
        )
        session.execute(update(File).where(File.item_id == gone.id).values(path=path))
        mine = stays.position
    missing = Finding("file missing", "", "", "", job_id, 1 - mine)
    list(mend(home.db, home.store, mendable([missing])))
    assert kept.exists()


def test_nothing_is_removed_from_the_store_of_another_database(home):
    job_id = home.done([0], snapshots=(1, 2))
    lost, *rest = home.results(job_id)
    lost.unlink()
    home.store.put("database", b"another's")
    home.set(insert(Identity).values(id=1, name="this one"))
    home.mend()
    assert set(home.results(job_id)) == set(rest)


def test_of_a_running_job_what_no_worker_has_in_hand(home, tmp_path):
    job_id = home.submit([0, 1, 2, 3], chunk_size=2)
    home.finish(home.claim())
    for path in home.results(job_id):
        path.unlink()
    held = home.claim()
    assert home.mend() == [f"job {job_id}: 2 items queued again."]
    home.finish(held)
    assert home.run(job_id).done == 4
    assert leftovers_alone(home, tmp_path) == []


def test_items_within_a_chunk_that_is_being_worked_on_are_left(home):
    job_id = home.submit([0, 1, 2], chunk_size=3)
    home.finish(home.claim(), failing=[0, 2])
    retry(home.db, job_id)  # the chunk goes around item 1, which is done
    for path in home.results(job_id):
        path.unlink()
    held = home.claim()
    assert [item.position for item in held.items] == [0, 2]
    (deed,) = home.mend()
    assert deed.endswith("1 item left, being worked on: verify again later.")
    home.finish(held)
    assert home.mend() == [f"job {job_id}: 1 item queued again."]
    assert home.run(job_id).done == 3


def film_of_two(home):
    """A film of three frames from two pictures each, whose first frame is done; its first file."""
    job_id = home.submit([0, 1], chunk_size=2, zoom=1.25, frames=3)
    home.finish(home.claim())
    return job_id, home.results(job_id)[0]


def test_a_film_s_next_frame_waits_for_one_that_is_made_again(home, tmp_path):
    job_id, first = film_of_two(home)
    first.unlink()
    assert home.mend() == [f"job {job_id}: 1 item queued again."]
    assert home.verify() == []
    held = home.claim()
    assert [item.position for item in held.items] == [0]
    assert home.claim() is None
    home.finish(held)
    after = home.claim()
    assert [item.position for item in after.items] == [2, 3]
    assert all(after.before.values())
    home.finish(after)
    assert home.run(job_id).done == 6
    assert leftovers_alone(home, tmp_path) == []


def test_a_frame_that_the_next_is_being_made_from_is_left(home, tmp_path):
    job_id, first = film_of_two(home)
    held = home.claim()
    first.unlink()
    (deed,) = home.mend()
    assert deed.endswith("1 item left, being worked on: verify again later.")
    home.finish(held)
    assert home.mend() == [f"job {job_id}: 1 item queued again."]
    assert [item.position for item in home.claim().items] == [0]
    home.die()
    assert home.run(job_id).done == 6
    assert leftovers_alone(home, tmp_path) == []


def test_of_a_cancelled_job_they_wait_for_retry(home, tmp_path):
    job_id = home.submit([0, 1], chunk_size=1)
    home.finish(home.claim())
    cancel(home.db, job_id)
    for path in home.results(job_id):
        path.unlink()
    assert home.mend() == [f"job {job_id}: 1 item cancelled, for `beholder retry`."]
    assert get_job(home.db, job_id).state == "cancelled"
    assert home.verify() == []
    retry(home.db, job_id)
    assert home.run(job_id).done == 2
    assert leftovers_alone(home, tmp_path) == []


@pytest.mark.parametrize("kind", ["dream", "study"])
def test_counters_are_counted_again(home, kind):
    job_id = home.done() if kind == "dream" else home.done_study()
    before = get_job(home.db, job_id)
    wrong = {"done": 77, "failed": 1, "measured": 99, "targets_kept": 5, "total": 1}
    home.set(update(Job).where(Job.id == job_id).values(wrong))
    (deed,) = home.mend()
    assert deed.startswith(f"job {job_id}: counted again: ")
    assert home.verify() == []
    assert get_job(home.db, job_id) == before


@pytest.mark.parametrize("kind", ["dream", "study"])
@pytest.mark.parametrize(
    ("home", "chunks_done"),
    [
        *(("sqlite", done) for done in (0, 1, 3, 4)),
        pytest.param("postgres", 1, marks=pytest.mark.slow),
    ],
    indirect=["home"],
)
def test_open_items_get_a_chunk(home, kind, chunks_done):
    job_id = home.submit([0, 1, 2, 3, 4, 5, 6, 7, 8]) if kind == "dream" else home.submit_study()
    for _ in range(chunks_done):
        home.finish(home.claim())
    home.set(delete(Chunk).where(Chunk.job_id == job_id, Chunk.state.in_(OPEN)))
    assert {one.kind for one in home.verify()} == {"chunks"}
    assert home.mend()
    assert home.verify() == []
    assert home.run(job_id).state == "done"
    assert home.verify() == []


def test_a_finished_job_s_open_chunks_and_items(home):
    job_id = home.done([0, 1, 2])
    home.set(update(Chunk).values(state="running", token="abc", lease_until=1.0))
    home.set(update(Item).where(Item.position == 0).values(state="running"))
    assert {one.kind for one in home.verify()} == {"chunks", "counters"}
    assert home.mend()
    assert get_job(home.db, job_id).state == "queued"
    home.run(job_id)
    assert [one for one in home.verify() if one.kind != "leftover"] == []


def test_a_cancelled_job_s_open_rows_follow_it(home):
    job_id = home.submit([0, 1, 2])
    cancel(home.db, job_id)
    home.set(update(Item).where(Item.job_id == job_id).values(state="queued"))
    home.set(update(Job).where(Job.id == job_id).values(queued=0, cancelled=3))
    assert home.mend()
    home.sweep()
    assert home.verify() == []
    assert get_job(home.db, job_id).cancelled == 3


def test_what_is_left_to_people_is_left(home):
    home.done([0])
    home.picture(0).unlink()
    assert home.mend() == []


def test_a_damaged_picture_is_removed_and_can_then_be_sent_again(home):
    job_id = home.submit([0])
    path = home.picture(0)
    path.write_bytes(b"picture 9")
    home.entry(0)  # of the right size, it is taken to be there
    (found,) = home.verify()
    assert found.kind == "picture damaged"
    assert "`beholder verify --mend` removes it, then send it again" in found.line()
    assert home.mend() == [f"pictures/{path.parent.name}/{path.name}: removed; send it again."]
    assert [one.kind for one in home.verify()] == ["picture missing"]
    home.entry(0)
    assert home.verify() == []
    assert home.run(job_id).done == 1


def test_a_picture_that_was_brought_again_since_it_was_found_stays(home):
    home.submit([0])
    home.picture(0).write_bytes(b"pict")
    wanted = mendable(home.verify())
    home.entry(0)
    assert list(mend(home.db, home.store, wanted)) == []
    assert home.verify() == []


def test_whoever_was_told_of_a_job_s_end_hears_of_the_next(home):
    job_id = home.done([0])
    with home.db.write() as session:
        add_hook(session, job_id, Hook("http://example.org/"))
    (due,) = due_hooks(home.db, take_s=60.0)
    delivered(home.db, due)
    home.results(job_id)[0].unlink()
    home.mend()
    assert due_hooks(home.db, take_s=60.0) == ()
    home.run(job_id)
    assert [hook.job_id for hook in due_hooks(home.db, take_s=60.0)] == [job_id]


def test_rows_are_on_the_disk_before_files_go(home, monkeypatch):
    job_id = home.done([0], snapshots=(1, 2))
    home.results(job_id)[0].unlink()
    write, remove, seen = Database.write, Store.remove, []

    @contextmanager
    def writing(database, *, lasting=False):
        with write(database, lasting=lasting) as session:
            yield session
        seen.append("lasting row" if lasting else "row")

    def removing(store, path):
        seen.append("file")
        remove(store, path)

    monkeypatch.setattr(Database, "write", writing)
    monkeypatch.setattr(Store, "remove", removing)
    home.mend()
    assert seen == ["lasting row", "file", "file", "file"]
