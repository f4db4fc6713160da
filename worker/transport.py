"""Celery's transport over Redis, with one thing put right: a message that is none kills no worker.

Kombu takes what lies in the queue for an envelope that it wrote itself; anything else raises in the
worker's loop and ends the process. `use_careful_transport` makes it drop and report such a message.
"""

import logging
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis

log = logging.getLogger(__name__)


class Channel(redis.Channel):
    """Drops what can't be delivered, so that what comes after it is."""

    def _brpop_read(self, **options: Any) -> Any:
        before = set(self.qos._delivered)
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (Empty, *self.connection_errors):
            raise
        except Exception as error:
            # Not its text, which quotes the message: whoever wrote it does not write the log.
            log.error("a message was dropped that is none of Beholder's (%s)", type(error).__name__)
            # Else it would count as one in hand, and come again in an hour.
            for tag in set(self.qos._delivered) - before:
                self.basic_ack(tag)  # type: ignore[no-untyped-call]
            raise Empty from None


class Transport(redis.Transport):
    """Redis with that channel."""

    Channel = Channel


def use_careful_transport() -> None:
    """From now on, `redis://`, `rediss://` and `redis+socket://` mean this transport."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{Transport.__name__}"
