"""What the last claims of set-aside chunks left: `remove_last` is a worker's part in it.

Whoever claims a chunk removes what earlier claims of it left. A chunk that its third worker died on
is claimed by nobody: it keeps their tokens until their folders are gone.
"""

import logging

from sqlalchemy import Text, cast, select, update

from beholder.errors import ServiceUnavailable
from beholder.jobs.database import Database
from beholder.jobs.models import Chunk
from beholder.store import Store, result_folder
from beholder.upkeep.presence import insist_on_there

log = logging.getLogger(__name__)


def remove_last(database: Database, store: Store) -> None:
    """Remove those folders. Where the store does not answer for one, a later call does it.

    Raises StoreMissing, or ServiceUnavailable where the store is away or the database is.
    """
    some = cast(Chunk.stale_tokens, Text) != "[]"
    failed = select(Chunk.id, Chunk.job_id, Chunk.stale_tokens).where(Chunk.state == "failed", some)
    with database.read() as session:
        chunks = session.execute(failed).all()
    for number, job_id, tokens in chunks:
        insist_on_there(database, store)  # else nothing would be removed, and their tokens lost
        try:
            for token in tokens:
                store.remove_folder(result_folder(job_id, token))
        except ServiceUnavailable as error:
            log.warning("what dead workers left of job %s stays for now: %s", job_id, error)
            continue
        with database.write() as session:
            session.execute(update(Chunk).where(Chunk.id == number).values(stale_tokens=[]))
