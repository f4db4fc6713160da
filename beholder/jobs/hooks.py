"""Webhooks: who is to be told that a job has ended. `due_hooks`, then `delivered` or `postponed`.

A hook is written with its job. Whoever sends takes it by moving its next attempt into the future,
so that two senders rarely send the same, and changes it only while that stands: a job that runs
again meanwhile has another end, to be told anew. Receivers tell doubles by that end. When it is
time, says the database's clock: a sender's own may be off, or jump.
"""

from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from beholder.jobs.clock import epoch
from beholder.jobs.database import Database
from beholder.jobs.models import FINISHED, Job, utc_now
from beholder.jobs.service_models import Webhook

DELAYS_S = (5.0, 30.0, 120.0, 600.0, 3600.0, 6 * 3600.0)  # before each further attempt


@dataclass(frozen=True)
class Hook:
    """Where to send it, and the secret that signs it ("" for none)."""

    url: str
    secret: str = ""


@dataclass(frozen=True)
class DueHook:
    """One delivery to try. attempt: counted from 1. next_at: what its taker has set."""

    job_id: str
    url: str
    secret: str
    attempt: int
    next_at: float


def add_hook(session: Session, job_id: str, hook: Hook) -> None:
    """Write it in the job's own transaction."""
    session.add(Webhook(job_id=job_id, url=hook.url, secret=hook.secret))


def due_hooks(database: Database, *, take_s: float, limit: int = 20) -> tuple[DueHook, ...]:
    """Hooks of jobs that have ended, taken for `take_s`; the longest due come first."""
    due = Webhook.state == "waiting", Webhook.next_at <= epoch()
    waiting = (
        select(Webhook.job_id)
        .join(Job, Job.id == Webhook.job_id)
        .where(*due, Job.state.in_(FINISHED))
        .order_by(Webhook.next_at, Webhook.job_id)
        .limit(limit)
    )
    with database.read() as session:
        ids = list(session.scalars(waiting))
    if not ids:
        return ()
    ended = select(Job.id).where(Job.id.in_(ids), Job.state.in_(FINISHED))
    take = (
        update(Webhook)
        .where(Webhook.job_id.in_(ended), *due)
        .values(next_at=epoch() + take_s, attempts=Webhook.attempts + 1)
        .returning(Webhook.job_id, Webhook.url, Webhook.secret, Webhook.attempts, Webhook.next_at)
    )
    with database.write() as session:
        taken = [DueHook(*row) for row in session.execute(take)]
    return tuple(sorted(taken, key=lambda hook: ids.index(hook.job_id)))


def delivered(database: Database, hook: DueHook) -> None:
    """The receiver has it."""
    _set(database, hook, state="delivered", delivered_at=utc_now(), error=None)


def postponed(database: Database, hook: DueHook, error: str) -> None:
    """It did not arrive: try later, or give up after the last of DELAYS_S."""
    if hook.attempt > len(DELAYS_S):
        _set(database, hook, state="failed", error=error)
    else:
        _set(database, hook, next_at=epoch() + DELAYS_S[hook.attempt - 1], error=error)


def rearm(session: Session, job_id: str) -> None:
    """The job runs again, so its end will be told again."""
    again = update(Webhook).where(Webhook.job_id == job_id)
    session.execute(again.values(state="waiting", attempts=0, next_at=0.0, error=None))


def _set(database: Database, hook: DueHook, **values: object) -> None:
    """Change it, unless it was armed or taken again."""
    taken = (
        Webhook.job_id == hook.job_id,
        Webhook.state == "waiting",
        Webhook.next_at == hook.next_at,
    )
    with database.write() as session:
        session.execute(update(Webhook).where(*taken).values(**values))
