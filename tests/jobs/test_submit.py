"""Submitting: one job or nothing, in constant memory, each distinct picture once."""

import tracemalloc

import pytest
from sqlalchemy import func, select

from beholder.errors import InvalidSpec, NoPictures
from beholder.jobs.models import Chunk, Item, Job, Picture
from beholder.jobs.queries import get_job, items
from beholder.jobs.submit import Entry, create_job, noise_entries
from beholder.specs import DreamSpec, StudySpec

DREAM = DreamSpec(network="random:0")
STUDY = StudySpec(network="random:0")


def _count(database, model):
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(model))


def _ranges(database, job_id):
    with database.read() as session:
        statement = select(Chunk.first_position, Chunk.last_position, Chunk.stage)
        rows = session.execute(statement.where(Chunk.job_id == job_id).order_by(Chunk.id))
        return [tuple(row) for row in rows]


def test_a_dream_runs_layer_by_layer_and_no_chunk_spans_two(desk):
    job = desk.dream(3, layers=(28, 5), chunk_size=2)
    rows = list(items(desk.database, job.id))
    assert [(item.position, item.layer, item.source) for item in rows] == [
        (0, 28, "folder/0.jpg"), (1, 28, "folder/1.jpg"), (2, 28, "folder/2.jpg"),
        (3, 5, "folder/0.jpg"), (4, 5, "folder/1.jpg"), (5, 5, "folder/2.jpg"),
    ]  # fmt: skip
    assert _ranges(desk.database, job.id) == [
        (0, 1, "dream"), (2, 2, "dream"), (3, 4, "dream"), (5, 5, "dream")
    ]  # fmt: skip
    assert (job.total, job.failed, job.chunks) == (6, 0, 4)
    assert len(job.id) == 10
    desk.check(job.id)


def test_a_study_has_its_targets_first_each_in_the_order_given(desk):
    roles = ["control", "target", "control", "target"]
    entries = [desk.entry(n, role=role, group=f"g{n}") for n, role in enumerate(roles)]
    job = create_job(desk.database, STUDY, entries, name="dogs")
    rows = list(items(desk.database, job.id))
    assert [(item.source, item.role, item.group) for item in rows] == [
        ("folder/1.jpg", "target", "g1"), ("folder/3.jpg", "target", "g3"),
        ("folder/0.jpg", "control", "g0"), ("folder/2.jpg", "control", "g2"),
    ]  # fmt: skip
    assert _ranges(desk.database, job.id) == [(0, 3, "measure")]
    assert get_job(desk.database, job.id).name == "dogs"


def test_a_picture_is_kept_once_whoever_brings_it(desk):
    for _ in range(2):
        create_job(desk.database, DREAM, [desk.entry(1), desk.entry(2), desk.entry(1)])
    assert _count(desk.database, Picture) == 2
    assert _count(desk.database, Item) == 6


def test_unreadable_pictures_fail_alone_with_their_reason(desk):
    entries = [desk.broken(0), desk.entry(1), desk.broken(2), desk.entry(3)]
    job = create_job(desk.database, DREAM, entries)
    assert (job.total, job.failed, job.chunks) == (4, 2, 1)
    held = desk.claim_next(job.id)
    assert [item.position for item in held.items] == [1, 3]
    failed = [item for item in items(desk.database, job.id) if item.state == "failed"]
    assert [item.error for item in failed] == ["the file is empty."] * 2
    desk.check(job.id)


def test_noise_starts_have_seeds_and_no_picture(desk):
    spec = DreamSpec(network="random:0", noise=2, seed=40)
    job = create_job(desk.database, spec, [desk.entry(0), *noise_entries(spec)])
    held = desk.claim_next(job.id)
    assert [(item.seed, item.picture_sha256 is None) for item in held.items] == [
        (None, False), (40, True), (41, True)
    ]  # fmt: skip


@pytest.mark.parametrize("spec", [DREAM, STUDY])
def test_nothing_to_work_on_is_refused(sqlite_database, desk, spec):
    with pytest.raises(NoPictures, match="name a picture file, or a folder"):
        create_job(sqlite_database, spec, [])
    reason = r"none of the 2 .*pictures can be used: folder/0.jpg: the file is empty"
    with pytest.raises(NoPictures, match=reason):
        create_job(sqlite_database, spec, [desk.broken(0), desk.broken(1)])
    assert _count(sqlite_database, Job) == 0


def test_too_many_items_are_refused_before_any_is_written(desk):
    spec = DreamSpec(network="random:0", layers=tuple(range(37)), zoom=1.05, frames=100_000)

    def entries():
        yield from map(desk.entry, range(3))  # 11,100,000 items
        raise AssertionError("no more is read")

    with pytest.raises(InvalidSpec, match="10,000,000 items: name fewer pictures, layers"):
        create_job(desk.database, spec, entries())
    assert [_count(desk.database, model) for model in (Job, Item, Picture)] == [0] * 3


def test_a_study_of_controls_alone_is_refused(desk):
    with pytest.raises(NoPictures, match="no target pictures"):
        create_job(desk.database, STUDY, [desk.entry(0, role="control")])


def test_an_entry_without_anything_to_run_on_is_a_mistake():
    with pytest.raises(ValueError, match="a picture, a seed or an error"):
        Entry(source="x", picture=None)


def test_a_source_that_breaks_off_leaves_nothing(desk):
    def entries():
        yield from map(desk.entry, range(2_500))
        raise OSError("the disk was pulled out")

    with pytest.raises(OSError, match="pulled out"):
        create_job(desk.database, DREAM, entries())
    assert [_count(desk.database, model) for model in (Job, Item, Chunk, Picture)] == [0] * 4


def test_the_database_is_free_while_pictures_are_read(desk):
    def entries():
        yield desk.entry(0)
        desk.dream(1)  # would wait for the lock, and give up
        yield desk.entry(1)

    assert create_job(desk.database, DREAM, entries()).total == 2


def _peak_bytes(desk, count):
    tracemalloc.start()
    job = create_job(desk.database, DREAM, map(desk.entry, range(count)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert job.total == count
    return peak


@pytest.mark.slow
def test_more_pictures_take_no_more_memory(desk):
    desk.dream(1)  # what is loaded once
    peak_of_few = _peak_bytes(desk, 2_000)
    assert _peak_bytes(desk, 6_000) < 1.1 * peak_of_few
    assert _count(desk.database, Picture) == 6_000
