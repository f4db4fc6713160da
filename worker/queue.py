"""The queue as the rest of the code sees it: send chunk ids, and ask how many wait."""

from collections.abc import Iterable

import kombu.exceptions
import redis.exceptions
from celery import Celery

from beholder.errors import ServiceUnavailable
from worker.app import QUEUE, RUN_CHUNK

_UNREACHABLE = (kombu.exceptions.OperationalError, redis.exceptions.RedisError, OSError)


class Queue:
    """Chunk ids on their way to workers. Both methods raise ServiceUnavailable without Redis."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def send(self, chunk_ids: Iterable[int]) -> None:
        """Send a message for each chunk. A second message for one chunk does no harm."""
        try:
            with self._app.producer_or_acquire() as producer:
                for chunk_id in chunk_ids:
                    self._app.send_task(RUN_CHUNK, (chunk_id,), producer=producer, retry=False)
        except _UNREACHABLE as error:
            raise _unreachable(error) from None

    def length(self) -> int:
        """How many messages wait."""
        try:
            with self._app.connection_for_read() as connection:
                return int(connection.default_channel.client.llen(QUEUE))
        except _UNREACHABLE as error:
            raise _unreachable(error) from None


def _unreachable(error: Exception) -> ServiceUnavailable:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ServiceUnavailable(f"Redis does not answer ({reason}): start it, or `beholder up`.")
