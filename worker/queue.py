"""The queue as the rest of the code sees it: ring bells, and ask how many still sound."""

import kombu.exceptions
import redis.exceptions
from celery import Celery

from beholder.errors import ServiceUnavailable
from worker.app import QUEUE, WORK

MOST_BELLS = 32  # at a time; whoever hears one goes on until nothing is left
_UNREACHABLE = (kombu.exceptions.OperationalError, redis.exceptions.RedisError, OSError)


class Queue:
    """Bells on their way to workers. Both methods raise ServiceUnavailable without Redis."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def ring(self, count: int) -> None:
        """Say that `count` chunks wait: a bell for each, but no more than MOST_BELLS."""
        if count <= 0:
            return
        try:
            with self._app.producer_or_acquire() as producer:
                for _ in range(min(count, MOST_BELLS)):
                    self._app.send_task(WORK, producer=producer, retry=False)
        except _UNREACHABLE as error:
            raise _unreachable(error) from None

    def length(self) -> int:
        """How many bells nobody has heard yet."""
        try:
            with self._app.connection_for_read() as connection:
                return int(connection.default_channel.client.llen(QUEUE))
        except _UNREACHABLE as error:
            raise _unreachable(error) from None


def _unreachable(error: Exception) -> ServiceUnavailable:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ServiceUnavailable(f"Redis does not answer ({reason}): start it, or `beholder up`.")
