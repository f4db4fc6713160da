"""`atlas`: what it queues, what it lays out, and what it says when it can't."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beholder.jobs.claims import claim_next, renew_all
from beholder.jobs.queries import get_job, list_jobs
from cli.atlas import under_way
from cli.context import Context

pytestmark = pytest.mark.slow  # with real files; seconds in all

Beholder = Callable[..., Any]
Make = Callable[..., str]


@pytest.mark.both  # asks several questions
def test_it_queues_what_is_missing_and_lays_out_what_is_there(
    beholder: Beholder, context: Context, dream_job: Make, tmp_path: Path
) -> None:
    asked = ("atlas", "--layer", "conv1_1", "--channel", "0-2", "--network", "specimens")
    answer = beholder(*asked, "--steps", "5", "--size", "48")
    assert (answer.code, answer.out) == (0, "")
    assert "3 dreams queued, 0 there or queued already." in answer.err
    assert "None of them is there yet" in answer.err
    assert list(tmp_path.glob("*.html")) == []
    jobs = list_jobs(context.db)
    assert {job.name for job in jobs} == {f"atlas conv1_1/{number}" for number in range(3)}
    for job in jobs:
        spec = get_job(context.db, job.id).spec
        assert (spec["steps"], spec["size"], spec["noise"], job.priority) == (5, 48, 1, "low")
        assert (spec["recipe"], spec["channels"]) == ("feature", [int(job.name[-1])])

    dream_job(recipe="feature", layers=(1,), channels=(1,))
    dream_job(recipe="feature", layers=(1,), channels=(2,), noise=0)  # of pictures
    dream_job(layers=(1,), channels=(0,), noise=1)  # the article's
    answer = beholder(*asked, "--link", "http://here:1/")
    assert "0 dreams queued, 3 there or queued already." in answer.err
    assert "3 of those there have other steps, learning rates or sizes" in answer.err
    assert re.search(r"atlas-conv1_1.html written: 1 of 3 channels, \d+\.\d kB", answer.err)
    page = (tmp_path / "atlas-conv1_1.html").read_text()
    tiles = re.findall(r'<li id="c(\d)">.*?(data:image/webp|not there yet)', page)
    assert tiles == [("0", "not there yet"), ("1", "data:image/webp"), ("2", "not there yet")]
    assert 'href="http://here:1/channels/specimens/conv1_1/1"' in page

    answer = beholder(*asked, "--recipe", "article", "--output", "other.html")
    assert "2 dreams queued, 1 there or queued already." in answer.err
    assert "other.html written: 1 of 3 channels" in answer.err
    rates = [get_job(context.db, job.id).spec["learning_rate"] for job in list_jobs(context.db)]
    assert rates[:2] == [0.5, 0.5]


def test_what_it_can_not_do(beholder: Beholder, tmp_path: Path) -> None:
    (tmp_path / "mine.pth").touch()
    for arguments, words in (
        (("--layer", "conv9_1"), "no layer"),
        (("--layer", "conv1_1", "--channel", "99"), "has channels 0-15"),
        (("--layer", "conv1_1", "--network", "mine.pth"), "name them, such as --channel 0-63"),
        (("--layer", "conv1_1", "--size", "8"), "size: 32 to 8192 pixels"),
    ):
        answer = beholder("atlas", "--network", "specimens", *arguments)
        assert (answer.code, answer.err.count("\n")) == (2, 1)
        assert words in answer.err


@pytest.mark.both  # a client learns it from events
def test_it_says_how_far_those_under_way_are(
    beholder: Beholder, context: Context, dream_job: Make
) -> None:
    asked = ("atlas", "--layer", "conv1_1", "--channel", "0-1", "--network", "specimens")
    beholder(*asked, "--steps", "5", "--size", "48")
    jobs = [job.id for job in list_jobs(context.db)]
    assert under_way(context, jobs) == ""
    claimed = claim_next(context.db, worker="test", lease_s=60)
    renew_all(context.db, claimed, lease_s=60, progress=0.4)
    assert under_way(context, jobs) == f", {len(claimed)} under way, 40% through"
    assert under_way(context, ["another"]) == ""
