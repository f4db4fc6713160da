"""`verify` finds rows that do not agree, and nothing where all do."""

import tracemalloc

import pytest
from sqlalchemy import delete, insert, null, select, update

from beholder.jobs.bulk import table_of
from beholder.jobs.channel_models import Channel, Exemplar
from beholder.jobs.control import retry
from beholder.jobs.database import Database
from beholder.jobs.models import Chunk, File, Item, Job, Picture, Verdict
from beholder.jobs.queries import get_job, list_jobs
from beholder.jobs.stock import record_pictures
from beholder.upkeep.garbage import collect
from beholder.upkeep.verify import verify


def kinds(findings):
    return [one.kind for one in findings]


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
    strongest, damaged, empty = home.results(job_id)[1:10:4]
    assert "statistics missing" not in kinds(home.verify())
    strongest.unlink()
    damaged.write_bytes(
        damaged.read_bytes().replace(b"target", b"tarjet").replace(b"strong", b"wrong!")
    )
    empty.write_bytes(b"")
    assert kinds(home.verify()).count("statistics missing") == 3
    assert kinds(home.verify(quick=True)).count("statistics missing") == 2


def test_finished_dreams_without_a_result_and_failures_without_a_reason(home):
    job_id = home.submit([0, 1])
    home.finish(home.claim(), failing=[1])
    home.set(update(Item).values(result=null(), error=None))
    bare, silent = sorted(home.verify(), key=lambda one: one.kind)
    assert (bare.kind, bare.position, bare.what) == ("file missing", 0, "it has no result")
    assert silent.line() == (
        f"job {job_id}: 1 of its failed items give no reason; `beholder retry` runs them again."
    )


def test_a_file_of_two_items(home):
    home.done([0, 1])
    with home.db.write() as session:
        first, second = session.scalars(select(File).order_by(File.item_id))
        second.path, second.sha256, second.bytes = first.path, first.sha256, first.bytes
    found = [one for one in home.verify() if one.kind == "file damaged"]
    assert [one.position for one in found] == [0, 1]
    assert all("is not its alone" in one.what for one in found)


def test_chunks_over_the_same_items(home):
    job_id = home.submit([0, 1, 2, 3], chunk_size=2)
    home.set(update(Chunk).where(Chunk.first_position == 2).values(first_position=1))
    (found,) = home.verify()
    assert found.kind == "chunks"
    assert "1 of its open chunks are over items that another is over" in found.what
    assert home.mend()
    assert home.verify() == []
    assert home.run(job_id).done == 4


def test_chunks_around_what_is_done(home):
    home.submit([0, 1, 2], chunk_size=3)
    home.finish(home.claim(), failing=[0, 2])
    (job,) = list_jobs(home.db)
    retry(home.db, job.id)
    home.set(
        insert(Chunk).values(
            job_id=job.id,
            stage="dream",
            first_position=1,
            last_position=1,
            layer=job.spec["layers"][0],
        )
    )
    assert home.verify() == []


def test_pictures_that_items_have_though_their_rows_are_gone(home):
    if home.db.engine.dialect.name == "postgresql":
        pytest.skip("it keeps the foreign key")
    job_id = home.submit([0])
    list(collect(home.db, home.store, home.path(""), remove=True))  # marks the store
    loose = Database.open(str(home.db.engine.url), foreign_keys=False)
    with loose.write() as session:
        session.execute(delete(Picture))
    loose.dispose()
    home.age_pictures()
    gc = list(collect(home.db, home.store, home.path(""), remove=True))
    assert gc == []
    (found,) = home.verify()
    assert (found.kind, found.job_id) == ("picture missing", job_id)
    assert "send it again" in found.line()
    record_pictures(home.db, [home.entry(0).picture])
    assert home.verify() == home.verify(jobs=[job_id]) == []
    assert home.run(job_id).done == 1


def test_finished_dreams_without_the_rows_of_their_files(home):
    job_id = home.done([0])
    home.set(delete(File))
    found = home.verify()
    assert sorted(kinds(found)) == ["file missing", "leftover"]
    assert "0 of its 1 file" in next(one.what for one in found if one.position == 0)
    assert get_job(home.db, job_id).state == "done"


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

    small, large = peak(2_000), peak(16_000)
    assert large < small * 1.5 + 800_000
