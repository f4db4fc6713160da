"""The queue as the rest of the code sees it: ring bells, and ask how many still sound.

A bell is for any worker, or for those of one class of devices.
"""

from collections.abc import Mapping

import kombu.exceptions
import redis.exceptions
from celery import Celery

from beholder.devices import DEFAULT_DEVICE, DEVICES, Device
from beholder.errors import ServiceUnavailable
from worker.app import WORK, queue_name

MOST_BELLS = 32  # of a class at a time; whoever hears one goes on until nothing is left
_UNREACHABLE = (kombu.exceptions.OperationalError, redis.exceptions.RedisError, OSError)


class Queue:
    """Bells on their way to workers. All methods raise ServiceUnavailable without Redis."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def ring(self, count: int, device: Device = DEFAULT_DEVICE) -> None:
        """Say that `count` chunks wait: a bell for each, but no more than MOST_BELLS."""
        if count <= 0:
            return
        try:
            with self._app.producer_or_acquire() as producer:
                for _ in range(min(count, MOST_BELLS)):
                    self._app.send_task(
                        WORK, producer=producer, queue=queue_name(device), retry=False
                    )
        except _UNREACHABLE as error:
            raise _unreachable(error) from None

    def ring_all(self, waiting: Mapping[Device, int]) -> None:
        """The same for every class of workers that something waits for."""
        for device, count in waiting.items():
            self.ring(count, device)

    def lengths(self) -> dict[Device, int]:
        """How many bells nobody has heard yet, by the workers that they are for."""
        try:
            with self._app.connection_for_read() as connection:
                client = connection.default_channel.client
                return {device: int(client.llen(queue_name(device))) for device in DEVICES}
        except _UNREACHABLE as error:
            raise _unreachable(error) from None

    def length(self) -> int:
        """How many there are in all."""
        return sum(self.lengths().values())


def _unreachable(error: Exception) -> ServiceUnavailable:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ServiceUnavailable(f"Redis does not answer ({reason}): start it, or `beholder up`.")
