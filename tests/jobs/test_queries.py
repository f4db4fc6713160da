"""What the lists, the details and the channel tables show, page by page."""

import json

import pytest

from beholder.errors import InvalidInput, NotFound
from beholder.jobs.channel_queries import channels
from beholder.jobs.claims import renew_all
from beholder.jobs.completion import completed, fruitful
from beholder.jobs.control import cancel, retry
from beholder.jobs.finish import fail_chunk_job, finish_choose
from beholder.jobs.models import Job
from beholder.jobs.outcomes import ChannelRow
from beholder.jobs.queries import (
    get_job,
    get_picture,
    items,
    latest_study,
    list_jobs,
    progress,
    verdicts,
)
from beholder.jobs.views import JobView, columns_of
from beholder.jobs.watching import looks
from beholder.jobs.weights import record_network


def test_jobs_are_listed_newest_first_page_by_page(desk):
    made = [desk.dream(1).id for _ in range(5)][::-1]
    seen, before = [], None
    while page := list_jobs(desk.database, limit=2, before=before):
        seen += [job.id for job in page]
        before = page[-1].cursor
    assert seen == made


def test_jobs_are_listed_by_state_and_kind(desk):
    dream, study = desk.dream(1), desk.study(1, 0)
    desk.run(study.id)
    assert [job.id for job in list_jobs(desk.database, state="done")] == [study.id]
    assert [job.id for job in list_jobs(desk.database, state="queued")] == [dream.id]
    assert [job.id for job in list_jobs(desk.database, kind="dream")] == [dream.id]
    with pytest.raises(InvalidInput, match="states are queued, running, done, failed, cancelled"):
        list_jobs(desk.database, state="finished")
    with pytest.raises(InvalidInput, match="start with the newest"):
        list_jobs(desk.database, before="yesterday")


def test_a_job_is_found_by_the_beginning_of_its_id(desk):
    job = desk.dream(2)
    for wanted in (job.id, job.id[:4], f" {job.id.upper()} "):
        assert get_job(desk.database, wanted).id == job.id
    for wanted in ("", "il", "%", "_" * 10):
        with pytest.raises(NotFound, match="`beholder jobs` lists them"):
            get_job(desk.database, wanted)


def test_an_ambiguous_beginning_is_said(desk):
    with desk.database.write() as session:
        for ending in ("aaa", "bbb"):
            row = Job(
                id=f"same{ending}", kind="dream", state="done", name="", spec={}, network="vgg19",
                chunk_size=8, total=0, queued=0,
            )  # fmt: skip
            session.add(row)
    with pytest.raises(InvalidInput, match=r"several jobs begin with 'same' \(sameaaa, samebbb\)"):
        get_job(desk.database, "same")
    assert get_job(desk.database, "sameb").id == "samebbb"


def test_a_jobs_row_is_ready_for_json(desk):
    job = get_job(desk.database, desk.dream(2).id)
    row = json.loads(json.dumps(job.row()))
    assert tuple(row) == columns_of(JobView)
    assert (row["state"], row["total"], row["spec"]["steps"]) == ("queued", 2, 30)
    assert row["created_at"].endswith("+00:00")


def test_progress_counts_items_by_state(desk):
    job = desk.dream(4, chunk_size=1)
    desk.finish(desk.claim())
    desk.claim()
    seen = progress(desk.database, job.id)
    assert (seen.state, seen.stage, seen.total) == ("running", "dream", 4)
    assert (seen.queued, seen.running, seen.done) == (2, 1, 1)
    with pytest.raises(NotFound):
        progress(desk.database, "nosuchjob0")


def test_completion_counts_a_measured_picture_as_half(desk):
    job = desk.study(2, 0)
    desk.finish(desk.claim_next(job.id))
    assert completed(desk.database, get_job(desk.database, job.id)) == 1.0
    desk.run(job.id)
    assert completed(desk.database, get_job(desk.database, job.id)) == 2.0


@pytest.mark.slow
def test_what_runs_counts_by_items_and_not_by_how_far_apart_they_are(desk):
    job = desk.dream(100, chunk_size=8)
    desk.run(job.id, failing=lambda position: position % 13 == 0)  # 8 of them
    retry(desk.database, job.id)
    renew_all(desk.database, [desk.claim()], lease_s=15, progress=0.5)
    view = get_job(desk.database, job.id)
    through = completed(desk.database, view)
    assert (view.running, through) == (8, 96.0)
    assert looks(desk.database, [job.id])[job.id].through == through
    assert fruitful(view, through) == view.done + 4


def test_chunks_of_different_sizes_count_by_theirs(desk):
    job = desk.dream(10, chunk_size=8)
    whole, rest = desk.claim(), desk.claim()
    renew_all(desk.database, [whole], lease_s=15, progress=0.75)
    assert completed(desk.database, get_job(desk.database, job.id)) == 6.0
    renew_all(desk.database, [rest], lease_s=15, progress=0.5)
    assert completed(desk.database, get_job(desk.database, job.id)) == 7.0


def test_items_stream_in_pages_and_go_on_from_a_position(desk, monkeypatch):
    monkeypatch.setattr("beholder.jobs.queries._PAGE", 2)
    job = desk.dream(5, chunk_size=2)
    desk.run(job.id, failing=lambda position: position == 3)

    def positions(**wanted):
        return [item.position for item in items(desk.database, job.id, **wanted)]

    assert positions() == [0, 1, 2, 3, 4]
    assert positions(after=1, limit=2) == [2, 3]
    assert positions(after=1, limit=3) == [2, 3, 4]
    assert positions(state="failed") == [3]
    assert positions(state="queued") == positions(limit=0) == []
    with pytest.raises(NotFound):
        next(items(desk.database, "nosuchjob0"))


def test_items_of_a_failed_job_have_failed_before_their_rows_have(desk, monkeypatch):
    monkeypatch.setattr("beholder.jobs.rows.SETTLE_LIMIT", 0)
    job = desk.dream(4, chunk_size=1)
    desk.finish(desk.claim_next(job.id))
    desk.finish(desk.claim_next(job.id), failing=lambda _: True)
    fail_chunk_job(desk.database, desk.claim_next(job.id), "no weights here")
    failed = [(item.position, item.error) for item in items(desk.database, job.id, state="failed")]
    assert failed == [(1, "can't be decoded."), (2, "no weights here"), (3, "no weights here")]
    assert list(items(desk.database, job.id, state="queued")) == []


def test_items_of_a_cancelled_job_are_cancelled_before_their_rows_are(desk, monkeypatch):
    monkeypatch.setattr("beholder.jobs.rows.SETTLE_LIMIT", 0)
    job = desk.dream(3, chunk_size=1)
    desk.finish(desk.claim_next(job.id))
    cancel(desk.database, job.id)
    assert [item.position for item in items(desk.database, job.id, state="cancelled")] == [1, 2]
    assert list(items(desk.database, job.id, state="queued")) == []
    assert [item.position for item in items(desk.database, job.id, state="done")] == [0]


def test_an_item_shows_its_verdicts(desk):
    job = desk.study(1, 0)
    desk.run(job.id)
    (item,) = items(desk.database, job.id)
    assert list(item.verdicts) == ["intact", "blinded"]
    assert item.verdicts["intact"].top5 == (("kelpie", 0.9288), ("dingo", 0.05))
    assert json.loads(json.dumps(item.row()))["verdicts"]["blinded"]["label"] == "kelpie"
    (intact,) = verdicts(desk.database, job.id, kind="intact")
    assert (intact.study, intact.role, intact.confidence) == (job.id, "target", 0.9288)


def test_a_picture_is_found_by_its_hash(desk):
    desk.dream(1)
    picture = desk.entry(0).picture
    assert get_picture(desk.database, picture.sha256) == picture
    with pytest.raises(NotFound, match="no picture ffffffffffff"):
        get_picture(desk.database, "f" * 64)


def _study(desk, rows, *, sha256="a" * 64):
    job = desk.study(1, 0)
    desk.finish(desk.claim_next(job.id))
    held = desk.claim_next(job.id)
    record_network(desk.database, [held], "random:0", sha256)
    finish_choose(desk.database, held, rows, target_pictures=1, control_pictures=0)
    return job.id


def _row(layer, channel, count, mean, *, chosen=False):
    return ChannelRow(layer, channel, count, 0, mean, 0.5, 2 * mean, chosen=chosen)


ROWS = [
    _row(35, 5, 2, 1.0), _row(35, 4, 2, 1.0), _row(35, 3, 2, 8.0, chosen=True),
    _row(35, 2, 9, 0.5, chosen=True), _row(35, 1, 0, 99.0), _row(20, 7, 1, 3.0),
]  # fmt: skip


def _keys(views):
    return [(view.layer, view.channel) for view in views]


@pytest.mark.slow
def test_channels_of_a_layer_are_ranked_by_count_then_mean_then_number(desk):
    study = _study(desk, ROWS)
    in_order = [(35, 2), (35, 3), (35, 4), (35, 5), (35, 1)]
    assert _keys(channels(desk.database, study=study, layer=35)) == in_order
    assert _keys(channels(desk.database, study=study, layer=35, top=3)) == in_order[:3]
    assert _keys(channels(desk.database, study=study, top=1)) == [(20, 7), (35, 2)]
    assert _keys(channels(desk.database, study=study, chosen=True)) == [(35, 2), (35, 3)]
    assert len(_keys(channels(desk.database, study=study, chosen=False))) == 4
    assert _keys(channels(desk.database, study=study, sort="mean", limit=2)) == [(35, 1), (35, 3)]
    assert _keys(channels(desk.database, study=study, layer=35, top=2, sort="mean")) == [
        (35, 3), (35, 2)
    ]  # fmt: skip


@pytest.mark.slow
def test_a_channel_is_followed_across_studies_newest_first(desk):
    first, second = _study(desk, ROWS), _study(desk, ROWS[:3], sha256="b" * 64)

    def studies(**wanted):
        return [view.study for view in channels(desk.database, layer=35, channel=3, **wanted)]

    assert studies() == [second, first]
    assert studies(network_sha256="a" * 64) == [first]
    assert studies(study=first) == [first]
    tops = list(channels(desk.database, layer=35, top=1))
    assert [(view.study, view.channel) for view in tops] == [(second, 3), (first, 2)]
    assert latest_study(desk.database).id == second


def test_a_channels_row_names_its_layer(desk):
    (view,) = channels(desk.database, study=_study(desk, ROWS), layer=20)
    assert view.row() == {
        "study": view.study, "layer": 20, "layer_name": "relu4_1", "channel": 7, "count": 1,
        "controls": 0, "mean": 3.0, "deviation": 0.5, "maximum": 6.0, "control_mean": None,
        "control_deviation": None, "control_maximum": None, "chosen": False,
        "rank": None, "score": None,
    }  # fmt: skip


def test_questions_about_channels_that_make_no_sense(sqlite_database):
    with pytest.raises(InvalidInput, match="name a study or a layer"):
        channels(sqlite_database)
    with pytest.raises(InvalidInput, match="in which layer is channel 3"):
        channels(sqlite_database, study="x", channel=3)
    with pytest.raises(InvalidInput, match="sort by layer, count"):
        channels(sqlite_database, study="x", sort="name")


def test_without_a_study_that_has_chosen_there_is_no_latest(desk):
    desk.study(1, 0)
    with pytest.raises(NotFound, match="no study has chosen its channels yet"):
        latest_study(desk.database)
