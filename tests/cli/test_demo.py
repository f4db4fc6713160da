"""What a demo does about an earlier one in its folder that was interrupted."""

from pathlib import Path

import pytest

from beholder.intake import find_pictures, take_in
from beholder.jobs import claims
from beholder.jobs.submit import create_job
from cli.context import Context
from cli.demo import DEEPER, DREAMS, NAMES, STUDY, cancel_unfinished


def test_what_an_interrupted_demo_left_is_cancelled_and_nothing_else(
    context: Context, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = find_pictures((), (pictures,))
    entries = list(take_in(context.store, found, max_pixels=10**8))
    queued = (
        (DREAMS, NAMES[DREAMS]),
        (DEEPER, NAMES[DEEPER]),
        (DREAMS, "mine"),
        (DEEPER, "spiral"),
    )
    jobs = [create_job(context.db, spec, entries, name=name).id for spec, name in queued]
    (claim,) = claims.claim_next(context.db, worker="killed", lease_s=60)
    assert (claim.job_id, NAMES[STUDY]) == (jobs[0], "spiral")
    cancel_unfinished(context)
    states = {job.id: job.state for job in context.desk.jobs()}
    assert [states[job] for job in jobs] == ["cancelled", "cancelled", "queued", "queued"]
    said = capsys.readouterr().err
    assert f"Cancelled {jobs[0]}: spiral dreams, which an earlier demo left unfinished" in said
    cancel_unfinished(context)
    assert capsys.readouterr().err == ""
