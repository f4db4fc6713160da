"""Telling the workers of new chunks, once the answer is on its way."""

import logging

from api.services import Services
from beholder.errors import BeholderError
from beholder.jobs.turns import waiting
from beholder.service import service_runs
from worker.queue import MOST_BELLS

log = logging.getLogger(__name__)


def wake_workers(services: Services) -> None:
    """Ring for what waits. Where that fails nothing is lost: a worker's sweep finds it."""
    if services.settings.redis_url is None and not service_runs(services.settings):
        return  # the embedded default with nothing running
    try:
        services.queue.ring_all(waiting(services.db, limit=MOST_BELLS))
    except BeholderError as error:
        log.warning("what was queued runs once a worker is there: %s", error)
