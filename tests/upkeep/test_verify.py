"""`verify` finds the damage that was done, exactly, and nothing where none was."""

import tracemalloc

import pytest
from sqlalchemy import delete, insert, update

from beholder.jobs.bulk import table_of
from beholder.jobs.channel_models import Channel, Exemplar
from beholder.jobs.control import cancel
from beholder.jobs.models import Chunk, File, Item, Job, Verdict
from beholder.jobs.queries import get_job
from beholder.store import Store
from beholder.upkeep.verify import extent, verify


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


COUNTERS = [
    {"done": Job.done + 1},
    {"total": Job.total + 1},
    {"measured": 7},
    {"queued": 1, "done": Job.done - 1},
]


@pytest.mark.parametrize("values", COUNTERS)
def test_counters_that_do_not_add_up(home, values):
    job_id = home.done()
    home.set(update(Job).where(Job.id == job_id).values(values))
    (found,) = home.verify()
    assert found.kind == "counters"
    for name in values:
        assert name in found.what


def test_chunks_that_do_not_agree_with_the_items(home):
    finished, lost, stuck = home.done(), home.submit([5, 6, 7]), home.submit_study(1, 0)
    stray = {"job_id": finished, "stage": "dream", "first_position": 0, "last_position": 0}
    home.set(insert(Chunk).values(**stray, state="running"))
    home.set(delete(Chunk).where(Chunk.job_id == lost, Chunk.first_position == 0))
    home.set(update(Chunk).where(Chunk.job_id == stuck).values(state="done"))
    home.set(update(Item).where(Item.job_id == stuck).values(measured=True))
    home.set(update(Job).where(Job.id == stuck).values(measured=1))
    lines = [one.what for one in home.verify() if one.kind == "chunks"]
    assert sorted(lines) == [
        "1 of its chunks are open, but it is done",
        "2 of its open items are in no open chunk, the first 0",
        "it is queued, but has no open chunk",
    ]


def test_a_study_that_lacks_parts_of_its_outcome(home):
    job_id = home.done_study()
    of_job = Channel.job_id == job_id
    damage = [
        (update(Channel).where(of_job).values(count=99), "count more pictures than it has"),
        (update(Exemplar).values(position=55), "name items that were not measured"),
        (delete(Channel).where(of_job), "has chosen, but has no channels"),
        (delete(Verdict).where(Verdict.kind == "blinded"), "5 of its items have no blinded"),
        (update(Job).values(targets_judged=0, targets_kept=0), None),
    ]
    for number, (statement, words) in enumerate(damage):
        home.set(statement)
        lines = [one.what for one in home.verify() if one.kind == "study"]
        assert words is None or any(words in line for line in lines), (number, lines)
    assert "counters" in kinds(home.verify())
    for path in home.results(job_id):
        path.unlink()
    assert kinds(home.verify()).count("statistics missing") == 3


def test_finished_dreams_without_the_rows_of_their_files(home):
    job_id = home.done([0])
    home.set(delete(File))
    found = home.verify()
    assert sorted(kinds(found)) == ["file missing", "leftover"]
    assert "0 of its 1 files" in next(one.what for one in found if one.position == 0)
    assert get_job(home.db, job_id).state == "done"


def test_any_store_will_do(home, request):
    home.store = Store.open("memory://beholder-verify")
    request.addfinalizer(lambda: home.store.remove_folder("."))
    job_id = home.done([0, 1])
    assert home.verify() == home.verify(quick=True) == []
    token = next(iter(home.store.list(f"results/{job_id}"))).name
    name = next(iter(home.store.list(f"results/{job_id}/{token}"))).name
    home.store.remove(f"results/{job_id}/{token}/{name}")
    assert kinds(home.verify()) == kinds(home.verify(quick=True)) == ["file missing"]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_items(home):
    def peak(items):
        job_id = home.submit([0], chunk_size=8)
        with home.db.write() as session:
            rows = [
                {"job_id": job_id, "position": at, "source": "x", "state": "done", "layer": 35,
                 "measured": False}
                for at in range(1, items)
            ]  # fmt: skip
            session.execute(insert(table_of(Item)), rows)
        del rows
        tracemalloc.start()
        found = sum(1 for _ in verify(home.db, home.store, jobs=[job_id], quick=True))
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found == items  # of each its file, and the counters
        return size

    small, large = peak(5_000), peak(40_000)
    assert large < small * 1.5 + 2_000_000
