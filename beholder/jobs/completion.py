"""How much of a job's work is done, in items and parts of items, for progress and time left.

`completed` and `through` are for bars: what has ended in whatever way. `fruitful` is for words.
"""

from sqlalchemy import Select, case, func, select

from beholder.jobs.database import Database
from beholder.jobs.models import FINISHED, Chunk, Job
from beholder.jobs.views import JobView, Progress


def completed(database: Database, job: JobView) -> float:
    """Items that are through, plus what running chunks have done of theirs; at most `job.total`."""
    if job.finished:
        return float(job.total)
    with database.read() as session:
        found = session.execute(shares_done().where(Chunk.job_id == job.id)).first()
    return through(job.kind, job, found[1] if found else 0.0)


def shares_done() -> Select[str, float]:
    """By job with running chunks, how much of what they have in hand is done, from 0 to 1.

    A chunk counts by the most items that it can have: after a retry its positions may span a whole
    job, with few items to run among them.
    """
    span = Chunk.last_position - Chunk.first_position + 1
    size = case((span < Job.chunk_size, span), else_=Job.chunk_size)
    done = func.sum(Chunk.progress * size) / func.nullif(func.sum(size), 0)
    shares = select(Chunk.job_id, func.coalesce(done, 0.0)).join(Job, Job.id == Chunk.job_id)
    return shares.where(Chunk.state == "running").group_by(Chunk.job_id)


def through(kind: str, counts: JobView | Progress, share: float) -> float:
    """Items that are through, at most the total; share: how much of its running items is done.

    A study's picture is half through when it is measured, and through when it is classified.
    """
    if counts.state in FINISHED:
        return float(counts.total)
    partly = counts.running * share
    if kind == "dream":
        items = counts.done + counts.failed + counts.cancelled + partly
    else:
        items = counts.failed + (counts.measured + counts.done + partly) / 2
    return min(items, float(counts.total))


def fruitful(counts: JobView | Progress, passed: float) -> int:
    """How many items to call done: what failed or was cancelled is through, but has no result.

    passed: how many are `through`; of an open job, what is partly done counts as well.
    """
    if counts.state in FINISHED:
        return counts.done
    return max(counts.done, int(passed - counts.failed - counts.cancelled))
