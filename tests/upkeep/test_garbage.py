"""`collect` removes what nothing refers to, and nothing else, whoever is at work meanwhile."""

import random
import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from beholder.jobs.control import cancel
from beholder.jobs.control import delete as delete_job
from beholder.jobs.models import Picture, utc_now
from beholder.jobs.stock import known_pictures, record_pictures, use_pictures
from beholder.store import AWAY, Store, checkpoint_path
from beholder.upkeep.checkpoints import Tidying
from beholder.upkeep.garbage import collect
from beholder.upkeep.pictures import GRACE_S

GRACE_OF_TEST_S = 1.0  # a submission of twelve pictures takes less


def gc(home, remove=True, **options):
    uploads = home.path("") / "uploads"
    return list(collect(home.db, home.store, uploads, remove=remove, **options))


def paths(found):
    return sorted(one.path for one in found)


def test_nothing_is_garbage_where_all_went_well(home):
    home.done(noise=1, snapshots=(1, 2))
    home.done_study()
    home.submit([7])
    home.write(claim := home.claim(), claim.items[0])
    home.age_pictures()
    assert gc(home) == []
    home.finish(claim)
    assert [one for one in home.verify() if one.kind != "counters"] == []


def test_checkpoints_that_nobody_goes_on_from(home):
    done, deleted, running = home.done([2]), home.done([4]), home.submit([7, 8], chunk_size=1)
    delete_job(home.db, deleted)
    home.finish(home.claim())
    home.claim()
    for job_id, position in ((running, 0), (running, 1), (done, 0), (deleted, 0)):
        home.store.put(checkpoint_path(job_id, position), b"kept")
    before = paths(gc(home, remove=False))
    assert set(before) == {
        f"checkpoints/{done}",
        f"checkpoints/{deleted}",
        f"results/{deleted}",
        checkpoint_path(running, 0),
    }
    assert paths(gc(home)) == before
    assert home.store.exists(checkpoint_path(running, 1))
    cancel(home.db, running)
    Tidying(home.db, home.store).step()
    assert not home.store.exists(checkpoint_path(running, 1))
    assert gc(home) == []


def test_leftovers_of_dead_and_deleted(home):
    done, deleted, cancelled = home.done(), home.done([4]), home.submit([3])
    claim = home.claim()
    home.write(claim, claim.items[0])
    cancel(home.db, cancelled)
    delete_job(home.db, deleted)
    token = home.results(done)[0].parent.name
    home.store.put(f"results/{done}/{token}/.half.png.abc", b"half")
    before = paths(gc(home, remove=False))
    assert set(before) == {
        f"results/{cancelled}/{claim.token}",
        f"results/{deleted}",
        f"results/{done}/{token}/.half.png.abc",
    }
    assert home.verify(), "a dry run removes nothing"
    found = gc(home)
    assert paths(found) == before
    assert sum(one.bytes for one in found) > 0
    assert gc(home) == []
    assert home.verify() == []


def test_probes_of_workers_that_were_killed(home):
    for name in (".room-dead-1", "..room-dead-2.0a1b", ".room-alive-3"):
        home.store.put(name, b"noise")
    home.age(home.path(".room-dead-1"), home.path("..room-dead-2.0a1b"), days=0.01)
    dead = ["..room-dead-2.0a1b", ".room-dead-1"]
    assert sorted(one.where for one in home.verify() if one.kind == "leftover") == dead
    assert paths(gc(home, remove=False)) == dead
    assert paths(gc(home)) == dead
    assert gc(home) == home.verify() == []
    assert home.store.exists(".room-alive-3")


def test_a_stale_claim_s_files_go_and_a_live_one_s_stay(home):
    home.submit([0, 1, 2, 3])
    first = home.claim()
    home.write(first, first.items[0])
    home.die()
    second = home.claim()  # the same chunk again
    assert second.stale_tokens == (first.token,)
    home.write(second, second.items[0])
    assert paths(gc(home)) == [f"results/{first.job_id}/{first.token}"]
    home.finish(second)
    home.run(first.job_id)
    assert home.verify() == []


def test_pictures_that_no_item_has(home):
    job_id = home.done([0, 1])
    shared = home.submit([1])
    cancel(home.db, shared)
    record_pictures(home.db, [home.entry(5).picture])  # sent ahead, never used
    home.store.put_picture(b"of a submission that failed")
    delete_job(home.db, job_id)
    home.store.remove_folder(f"results/{job_id}")
    assert gc(home) == [], "younger than a submission may take"
    home.age_pictures()
    found = gc(home)
    assert {one.kind for one in found} == {"picture"}
    assert len(found) == 3
    assert not home.picture(0).exists()
    assert home.picture(1).exists()
    with home.db.read() as session:
        assert session.scalar(select(func.count()).select_from(Picture)) == 1
    assert gc(home) == home.verify() == []


def test_a_row_whose_picture_is_gone_goes_too(home):
    record_pictures(home.db, [home.entry(5).picture])
    home.age_pictures()
    home.picture(5).unlink()
    assert len(gc(home)) == 1
    assert home.verify() == []


def test_a_picture_brought_again_stays(home):
    record_pictures(home.db, [home.entry(5).picture, home.entry(6).picture])
    home.age_pictures()
    home.entry(5)  # a submission finds it there
    assert list(use_pictures(home.db, [home.entry(6).picture.sha256]))  # and one names it
    home.age(home.picture(6))
    gc(home)
    assert home.picture(5).exists()
    assert home.picture(6).exists()


def test_what_was_removed_is_not_said_to_be_known(home):
    picture = home.entry(5).picture
    record_pictures(home.db, [picture])
    home.age_pictures()
    known = known_pictures(home.db, [picture.sha256])
    assert known
    gc(home)
    assert use_pictures(home.db, [picture.sha256]) == {}


def test_a_picture_that_was_moved_aside_comes_back(home):
    job_id = home.submit([5])
    path = home.picture(5)
    path.rename(path.with_name(f".{path.name}{AWAY}"))
    home.age_pictures()
    assert gc(home) == []
    assert path.exists()
    home.run(job_id)


def test_interrupted_writes_and_uploads(home):
    old = home.path("pictures/ab/.abcd.123456")
    young = home.path("pictures/ab/.abce.123456")
    upload, running = home.path("uploads/one"), home.path("uploads/two")
    for folder in (old.parent, upload, running):
        folder.mkdir(parents=True)
    for path in (old, young, upload / "data", upload / "info.json", running / "data"):
        path.write_bytes(b"1234")
    home.age(old, upload / "data", upload / "info.json")
    found = gc(home)
    assert sorted((one.kind, one.files, one.bytes) for one in found) == [
        ("picture", 1, 4),
        ("upload", 2, 8),
    ]
    assert young.exists()
    assert (running / "data").exists()
    assert not upload.exists()


def test_a_remote_store(home, request):
    home.store = Store.open("memory://beholder-gc")
    request.addfinalizer(lambda: [home.store.remove_folder(one) for one in ("results", "pictures")])
    home.done([0])
    home.store.put_picture(b"nobody's")
    home.store.put("results/nojob/token/a.png", b"a")
    later = time.time() + GRACE_S + 10
    uploads = request.getfixturevalue("tmp_path")
    found = list(collect(home.db, home.store, uploads, remove=True, now=later))
    assert sorted(one.kind for one in found) == ["picture", "results"]
    assert home.verify() == []


@pytest.mark.slow
def test_submissions_while_pictures_are_removed(home):
    """Over and over, the same old pictures are submitted and removed at the same time."""
    numbers, stop, lost = list(range(12)), threading.Event(), []

    def submit(seed):
        dice = random.Random(seed)
        for round_ in range(100):
            # About when gc finds the last round's to be old enough.
            if stop.wait(GRACE_OF_TEST_S + dice.uniform(-0.1, 0.1)):
                return
            some = [number for number in numbers if (number * 7 + seed + round_) % 3]
            job_id = home.submit(some, chunk_size=4, pause_s=0.2)
            for number in some:
                try:
                    with home.picture(number).open("rb") as file:
                        assert file.read() == home.data(number)
                except OSError as error:
                    # Moved aside for a moment is not lost.
                    time.sleep(0.05)
                    if not home.picture(number).exists():
                        lost.append((job_id, number, error))
            cancel(home.db, job_id)
            delete_job(home.db, job_id)

    def grow_old():
        while not stop.is_set():
            with home.db.write() as session:
                old = utc_now() - timedelta(days=2)
                session.execute(update(Picture).values(created_at=old, used_at=None))
            time.sleep(0.002)

    threads = [threading.Thread(target=submit, args=(seed,)) for seed in range(2)]
    threads.append(threading.Thread(target=grow_old))
    for thread in threads:
        thread.start()
    removed = 0
    until = time.monotonic() + 8
    try:
        while time.monotonic() < until:
            removed += len(gc(home, grace_s=GRACE_OF_TEST_S))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert lost == []
    assert removed > 0
    assert [one for one in home.verify() if one.kind == "picture missing"] == []
