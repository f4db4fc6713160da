"""Celery's transport over Redis, mended twice: no message ends the worker, nor does a refusal.

Kombu takes what lies in the queue for an envelope that it wrote itself; anything else raises in the
worker's loop and ends the process. So does an answer such as "my disk is full". `Channel` drops and
reports such a message, and waits for such a Redis. `use_careful_transport` makes Kombu use it.
"""

import logging
import time
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis, virtual

log = logging.getLogger(__name__)
REFUSED_S = 1.0  # until Redis is asked again


class QoS(redis.QoS):
    """Forgets what was acknowledged although Redis refuses to: at worst it comes again."""

    def ack(self, delivery_tag: str) -> None:
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except self.channel.ResponseError as error:
            log.error("Redis did not take an acknowledgement: %s", error)
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]


class Channel(redis.Channel):
    """Drops what can't be delivered, so that what comes after it is; waits while Redis refuses."""

    QoS = QoS
    _refusal = ""  # as it is in the log already

    def _brpop_read(self, **options: Any) -> Any:
        before = set(self.qos._delivered)
        try:
            heard = super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except Empty:
            self._refusal = ""
            raise
        except self.connection_errors:
            raise
        except self.ResponseError as error:
            self._wait(str(error))
            raise Empty from None
        except Exception as error:
            # Not its text, which quotes the message: whoever wrote it does not write the log.
            log.error("a message was dropped that is none of Beholder's (%s)", type(error).__name__)
            # Else it would count as one in hand, and come again in an hour.
            for tag in set(self.qos._delivered) - before:
                self.basic_ack(tag)  # type: ignore[no-untyped-call]
            raise Empty from None
        self._refusal = ""
        return heard

    def _wait(self, refusal: str) -> None:
        """Redis is there, but its disk is full, or it is a replica, or the key is none of ours.

        Asked again at once it would answer the same thousands of times a second.
        """
        if refusal != self._refusal:
            log.error("Redis refuses; it is asked again each %g s: %s", REFUSED_S, refusal)
            self._refusal = refusal
        time.sleep(REFUSED_S)
        self.client.connection.disconnect()  # its name may lead to another Redis by now


class Transport(redis.Transport):
    """Redis with that channel."""

    Channel = Channel


def use_careful_transport() -> None:
    """From now on, `redis://`, `rediss://` and `redis+socket://` mean this transport."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{Transport.__name__}"
