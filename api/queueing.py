"""Telling the workers of new chunks, once the answer is on its way."""

import logging
import time
from itertools import islice

from api.services import Services
from beholder.errors import BeholderError
from beholder.jobs.sweep import mark_sent, unsent_chunks
from beholder.service import service_runs

log = logging.getLogger(__name__)
_SENT_TOGETHER = 1_000


def send_chunks(services: Services, job_id: str) -> None:
    """Send a job's chunks. Where that fails nothing is lost: a worker's sweep finds them."""
    if services.settings.redis_url is None and not service_runs(services.settings):
        return  # the embedded default with nothing running
    try:
        unsent = unsent_chunks(services.db, job_id)
        while chunk_ids := list(islice(unsent, _SENT_TOGETHER)):
            services.queue.send(chunk_ids)
            mark_sent(services.db, chunk_ids, now=time.time())
    except BeholderError as error:
        log.warning("job %s is kept, and runs once a worker is there: %s", job_id, error)
