"""What `beholder doctor` finds, a line each: `Check`; and whether a named Redis answers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from beholder.urls import insist_on_redis, without_secrets

if TYPE_CHECKING:
    from beholder.settings import Settings


@dataclass(frozen=True)
class Check:
    """needed: whether jobs can't be queued and kept without it."""

    name: str
    ok: bool
    detail: str
    needed: bool = False


def silence_of_redis(settings: "Settings") -> str | None:
    """That the Redis which BEHOLDER_REDIS_URL names does not answer; None where it does, or none.

    Raises InvalidInput for a URL that is none.
    """
    if settings.redis_url is None:
        return None
    from redis import Redis, RedisError

    url = settings.broker
    insist_on_redis(url)
    # redis-py's word for a unix socket differs from Celery's.
    address = url.replace("redis+socket://", "unix://", 1)
    try:
        with Redis.from_url(address, socket_connect_timeout=3, socket_timeout=3) as client:
            client.ping()
    except (RedisError, ValueError) as error:
        reason = " ".join(str(error).split())
        return f"{without_secrets(url)} does not answer ({reason}): check BEHOLDER_REDIS_URL."
    return None
