"""How much of a job's work is done, in items and parts of items, for progress and time left.

`completed` and `through` are for bars: what has ended in whatever way. `fruitful` is for words.
"""

from sqlalchemy import func, select

from beholder.jobs.database import Database
from beholder.jobs.models import FINISHED, Chunk
from beholder.jobs.views import JobView, Progress


def completed(database: Database, job: JobView) -> float:
    """Items that are through, plus what running chunks have done of theirs; at most `job.total`."""
    if job.finished:
        return float(job.total)
    size = Chunk.last_position - Chunk.first_position + 1
    statement = select(func.coalesce(func.sum(Chunk.progress * size), 0.0)).where(
        Chunk.job_id == job.id, Chunk.state == "running"
    )
    with database.read() as session:
        partly = float(session.scalar(statement) or 0.0)
    return through(job.kind, job, partly)


def through(kind: str, counts: JobView | Progress, partly: float) -> float:
    """Items that are through, given what running chunks have done; at most the total.

    A study's picture is half through when it is measured, and through when it is classified.
    """
    if counts.state in FINISHED:
        return float(counts.total)
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
