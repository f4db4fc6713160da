"""`verify` finds the damage that was done, exactly, and nothing where none was."""

from sqlalchemy import select

from beholder.aside import away_name
from beholder.jobs.control import cancel
from beholder.jobs.models import Item
from beholder.jobs.stock import record_pictures
from beholder.store import Store, checkpoint_path
from beholder.upkeep.garbage import collect
from beholder.upkeep.retention import remove_job
from beholder.upkeep.verify import extent


def kinds(findings):
    return [one.kind for one in findings]


def test_nothing_is_wrong_with_jobs_that_went_well(home):
    home.done(noise=1, snapshots=(1, 2), layers=(5, 28))
    home.done_study()
    home.submit([7, 8])
    for quick in (False, True):
        assert home.verify(quick=quick) == []


def test_missing_damaged_and_short_files(home):
    job_id = home.done([0, 1, 2, 3], chunk_size=2)
    first, second, third, fourth = home.results(job_id)
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1] + b"x")
    third.write_bytes(b"")
    by_position = {one.position: one for one in home.verify()}
    assert sorted(kinds(by_position.values())) == ["file damaged", "file damaged", "file missing"]
    assert len({first.name, second.name, third.name, fourth.name}) == 4
    for path, kind in ((first, "file missing"), (second, "file damaged"), (third, "file damaged")):
        found = by_position[int(path.name[:7])]
        assert found.kind == kind
        assert path.name in found.what
        assert found.line().startswith(f"job {job_id} item {found.position}: ")
        assert found.line().endswith("`beholder verify --mend` makes it again.")
    # Of the same size is good enough for a quick look.
    assert sorted(kinds(home.verify(quick=True))) == ["file damaged", "file missing"]


def test_a_lost_start_from_noise(home):
    job_id = home.done([], noise=2)
    start = next(path for path in home.results(job_id) if path.name.endswith("-00000.png"))
    start.unlink()
    (found,) = home.verify()
    assert (found.kind, found.position) == ("file missing", int(start.name[:7]))


def test_an_overwritten_start_from_noise(home):
    job_id = home.done([], noise=1)
    start = next(path for path in home.results(job_id) if path.name.endswith("-00000.png"))
    start.write_bytes(start.read_bytes()[:-1] + b"x")
    (found,) = home.verify()
    assert (found.kind, found.position) == ("file damaged", 0)
    assert home.verify(quick=True) == []


def test_a_start_from_noise_of_a_job_from_before_its_hash_was_kept(home):
    home.done([], noise=1)
    with home.db.write() as session:
        for item in session.scalars(select(Item)):
            item.result = {"objective": [1.0], "start": item.result["start"]}
    assert home.verify() == home.verify(quick=True) == []


def test_files_that_belong_to_nothing(home):
    job_id = home.done()
    token = home.results(job_id)[0].parent.name
    for path in (f"{job_id}/{token}/more.png", f"{job_id}/deadbeef0000/a.png", "nojob/x/a.png"):
        home.store.put(f"results/{path}", b"junk")
    home.store.put("results/loose", b"junk")
    found = home.verify()
    assert set(kinds(found)) == {"leftover"}
    assert {one.where for one in found} == {
        f"results/{job_id}/{token}/more.png",
        f"results/{job_id}/deadbeef0000",
        "results/nojob",
        "results/loose",
    }
    assert [one.job_id for one in home.verify(jobs=[job_id])] == [job_id, job_id]


def test_what_is_being_worked_on_is_no_finding(home):
    home.submit([0, 1, 2, 3])
    claim = home.claim()
    home.write(claim, claim.items[0])
    assert home.verify() == []
    home.die()  # the next claim removes what its worker left
    assert home.verify() == []
    cancel(home.db, claim.job_id)
    (found,) = home.verify()
    assert (found.kind, found.where) == ("leftover", f"results/{claim.job_id}/{claim.token}")


def test_a_cancelled_job_whose_rows_follow_later(home, monkeypatch):
    monkeypatch.setattr("beholder.jobs.rows.SETTLE_LIMIT", 0)
    job_id = home.submit([0, 1, 2])
    cancel(home.db, job_id)
    assert home.verify() == []


def test_pictures_gone_damaged_and_unknown(home):
    home.done([0, 1, 2])
    home.picture(0).unlink()
    home.picture(1).write_bytes(b"picture 9")
    home.store.put_picture(b"a submission under way")
    stray = home.path(f"pictures/{home.store.put_picture(b'left behind')[:2]}")
    home.age(*stray.iterdir())
    home.store.put("pictures/readme", b"?")
    found = home.verify()
    assert sorted(kinds(found)) == [
        "picture damaged",
        "picture missing",
        "stray picture",
        "stray picture",
    ]
    assert sorted(kinds(home.verify(quick=True))) == [
        "picture missing",
        "stray picture",
        "stray picture",
    ]


def test_one_job_alone_with_its_pictures(home):
    good, bad = home.done([0, 1]), home.done([2, 3])
    home.picture(2).unlink()
    home.results(bad)[0].unlink()
    assert home.verify(jobs=[good]) == []
    assert sorted(kinds(home.verify(jobs=[bad]))) == ["file missing", "picture missing"]
    assert extent(home.db, [bad]).files == extent(home.db).files / 2 == 4


def test_strays_beside_all_that_is_ours(home):
    done, running = home.done([0]), home.submit([1])
    for path in (checkpoint_path(done, 0), checkpoint_path(running, 0), "mine.txt", "old/a"):
        home.store.put(path, b"?")
    assert {one.where for one in home.verify()} == {"mine.txt", "old"}, "a worker tidies the rest"
    home.age(*(path for path in home.path("checkpoints").rglob("*") if path.is_file()))
    found = home.verify()
    assert kinds(found) == ["leftover"] * 3
    assert {one.where for one in found} == {f"checkpoints/{done}", "mine.txt", "old"}


def test_a_picture_that_a_killed_gc_moved_aside(home):
    home.submit([0])
    path = home.picture(0)
    path.rename(path.with_name(away_name(path.name)))
    home.age_pictures()
    (found,) = home.verify()
    assert found.line().endswith("; `beholder gc --yes` puts it back.")
    list(collect(home.db, home.store, home.path(""), remove=True))
    assert home.verify() == []


def test_a_job_that_is_removed_while_it_is_looked_at(home, monkeypatch):
    job_id = home.done([0])

    def remove():
        remove_job(home.db, home.store, job_id)

    monkeypatch.setattr(Store, "digest", before(Store.digest, remove))
    assert home.verify(jobs=[job_id]) == []


def test_a_picture_that_is_removed_while_it_is_looked_at(home, monkeypatch):
    record_pictures(home.db, [home.entry(5).picture])
    home.age_pictures()

    def remove():
        list(collect(home.db, home.store, home.path(""), remove=True))

    monkeypatch.setattr(Store, "digest", before(Store.digest, remove))
    assert home.verify() == []


def before(method, act):
    """The method, once with something done before it."""
    todo = [act]

    def called(*arguments, **options):
        if todo:
            todo.pop()()
        return method(*arguments, **options)

    return called


def test_any_store_will_do(home, request):
    home.store = Store.open("memory://beholder-verify")
    request.addfinalizer(lambda: home.store.remove_folder("."))
    job_id = home.done([0, 1])
    assert home.verify() == home.verify(quick=True) == []
    token = next(iter(home.store.list(f"results/{job_id}"))).name
    name = next(iter(home.store.list(f"results/{job_id}/{token}"))).name
    home.store.remove(f"results/{job_id}/{token}/{name}")
    assert kinds(home.verify()) == kinds(home.verify(quick=True)) == ["file missing"]


def test_what_can_not_be_read_is_found_and_left_and_ends_nothing(home):
    job_id, study = home.done([0, 1, 2], chunk_size=2), home.done_study()
    spoilt, lost, _ = home.results(job_id)
    statistics = next(path for path in home.results(study) if path.name == "target.npz")
    for path in (spoilt, statistics, home.picture(2)):
        path.unlink()
        path.mkdir()  # to open it is an error, and no lack
    lost.unlink()
    unreadable, missing = (
        {one.where: one.what for one in home.verify() if one.kind == kind}
        for kind in ("unreadable", "file missing")
    )
    picture = str(home.picture(2).relative_to(home.path(".")))
    wanted = {
        f"job {job_id} item {int(spoilt.name[:7])}": spoilt.name,
        f"job {study}": statistics.name,
        picture: picture,
    }
    assert unreadable.keys() == wanted.keys()
    assert all(f"{name} can't be read, though" in unreadable[at] for at, name in wanted.items())
    assert list(missing) == [f"job {job_id} item {int(lost.name[:7])}"]
    assert len(home.mend()) == 1, "the lost file alone"
