"""`collect` removes what nothing refers to, and nothing else, whoever is at work meanwhile."""

import time

import pytest
from sqlalchemy import event, func, select

from beholder.aside import AWAY
from beholder.errors import StorageFull
from beholder.jobs.control import cancel
from beholder.jobs.control import delete as delete_job
from beholder.jobs.models import Picture
from beholder.jobs.stock import known_pictures, record_pictures, use_pictures
from beholder.store import Store, checkpoint_path
from beholder.upkeep.checkpoints import Tidying
from beholder.upkeep.garbage import collect
from beholder.upkeep.leftovers import leftovers
from beholder.upkeep.pictures import GRACE_S
from beholder.upkeep.unused import UnusedPictures


def gc(home, remove=True, **options):
    return list(collect(home.db, home.store, home.path(""), remove=remove, **options))


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
    assert home.verify() == []


def test_a_list_of_what_is_used_that_finds_no_room_is_one_line(home, no_room):
    line = r"no temporary file can be written in /.*TMPDIR"
    with pytest.raises(StorageFull, match=line), no_room(), UnusedPictures(home.db, 0.0):
        pass


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


def test_a_picture_that_a_job_s_spec_names(home, monkeypatch):
    """A mask is no item's; it stays as long as its job, also if that is made while gc looks."""
    mask, late = (home.entry(number).picture for number in (5, 6))
    record_pictures(home.db, [mask, late])
    job_id = home.done([0], mask=mask.sha256)
    home.age_pictures()
    real = UnusedPictures.forget

    def forget(unused, hashes):
        if hashes:
            assert hashes == [late.sha256]
            home.submit([1], mask=late.sha256)
            home.age_pictures()
        return real(unused, hashes)

    with monkeypatch.context() as patch:
        patch.setattr(UnusedPictures, "forget", forget)
        assert gc(home) == []
    assert home.picture(5).exists()
    assert home.picture(6).exists()
    delete_job(home.db, job_id)
    home.store.remove_folder(f"results/{job_id}")
    home.age_pictures()
    gc(home)
    assert not home.picture(5).exists()
    assert home.picture(6).exists()


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
    request.addfinalizer(lambda: home.store.remove_folder("."))
    home.done([0])
    home.store.put_picture(b"nobody's")
    home.store.put("results/nojob/token/a.png", b"a")
    later = time.time() + GRACE_S + 10
    nothing = request.getfixturevalue("tmp_path")
    found = list(collect(home.db, home.store, nothing, remove=True, now=later))
    assert sorted(one.kind for one in found) == ["picture", "results"]
    assert home.verify() == []


def before_the(monkeypatch, owner, name, act):
    """Have something done just before a method is first called with something in its hands."""
    method = getattr(owner, name)

    def called(*arguments, **options):
        if arguments[-1]:
            monkeypatch.setattr(owner, name, method)
            act()
        return method(*arguments, **options)

    monkeypatch.setattr(owner, name, called)


def picture_of_nobody(home):
    record_pictures(home.db, [home.entry(5).picture])
    home.age_pictures()


def test_a_picture_that_is_submitted_once_it_is_forgotten_stays(home, monkeypatch):
    picture_of_nobody(home)
    before_the(monkeypatch, Store, "drop_picture", lambda: home.submit([5]))
    assert gc(home) == []
    assert home.picture(5).exists()
    assert home.verify() == []


def test_a_picture_that_is_submitted_before_it_is_forgotten_stays(home, monkeypatch):
    picture_of_nobody(home)

    def submit():
        home.submit([5])
        home.age_pictures()  # neither its file's time nor its row's says so

    before_the(monkeypatch, UnusedPictures, "forget", submit)
    assert gc(home) == []
    assert home.picture(5).exists()
    assert home.verify() == []


def test_a_picture_that_is_named_before_it_is_forgotten_stays(home, monkeypatch):
    picture_of_nobody(home)
    sha256 = home.picture(5).name
    before_the(monkeypatch, UnusedPictures, "forget", lambda: use_pictures(home.db, [sha256]))
    assert gc(home) == []
    assert home.picture(5).exists()


def test_a_picture_that_is_submitted_while_it_is_moved_aside_stays(home, monkeypatch):
    picture_of_nobody(home)
    before_the(monkeypatch, home.store._fs, "rm_file", lambda: home.submit([5]))
    gc(home)
    monkeypatch.undo()
    assert home.picture(5).exists()
    assert home.verify() == []
    assert gc(home) == []


def test_downloads_that_nobody_finished(home):
    networks = home.path("networks")
    networks.mkdir(parents=True)
    for name in ("vgg19.pth.abc.partial", "vgg19.pth.abd.partial", "vgg19.pth"):
        (networks / name).write_bytes(b"1234")
    home.age(networks / "vgg19.pth.abc.partial", networks / "vgg19.pth")
    assert [(one.kind, one.bytes) for one in gc(home)] == [("download", 4)]
    assert sorted(path.name for path in networks.iterdir()) == [
        "vgg19.pth",
        "vgg19.pth.abd.partial",
    ]


def test_of_a_study_s_many_chunks_each_is_looked_at_once(home):
    job_id = home.submit_study(targets=24, controls=0)
    home.run(job_id)

    def statements():
        counted = []

        def count(*_):
            counted.append(1)

        event.listen(home.db.engine, "before_cursor_execute", count)
        assert list(leftovers(home.db, home.store, job_id)) == []
        event.remove(home.db.engine, "before_cursor_execute", count)
        return len(counted)

    few = statements()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("beholder.upkeep.leftovers._TOGETHER", 2)
        assert statements() == few
