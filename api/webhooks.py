"""Telling others that a job has ended: `Sender` runs in the API's process, `deliver` sends one.

A delivery is a POST of the job's row, signed with HMAC-SHA256 over "TIMESTAMP.BODY". It is never
redirected, and goes only to public addresses unless BEHOLDER_WEBHOOK_PRIVATE allows others: a job
must not be a way to reach what only this server can reach.
"""

import asyncio
import hashlib
import hmac
import http.client
import ipaddress
import json
import logging
import socket
import ssl
import time
from urllib.parse import SplitResult, urlsplit

from starlette.concurrency import run_in_threadpool

from beholder import __version__
from beholder.errors import BeholderError, InvalidInput
from beholder.jobs.database import Database
from beholder.jobs.hooks import DueHook, delivered, due_hooks, postponed
from beholder.jobs.queries import get_job
from beholder.settings import Settings

log = logging.getLogger(__name__)
TIMEOUT_S = 10.0
POLL_S = 1.0
_TAKEN_S = 60.0  # another sender may try again after that
_NOT_PUBLIC = (
    "the webhook's host {host} is no public address: set BEHOLDER_WEBHOOK_PRIVATE=true on the "
    "server to allow it."
)


class Sender:
    """A background task that delivers what is due."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._private = settings.webhook_private
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; in a running event loop."""
        self._task = asyncio.create_task(self._run(), name="webhooks")

    async def close(self) -> None:
        """Stop; a delivery on its way may be sent again later."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await run_in_threadpool(self.send_due)
            except BeholderError as error:
                log.warning("webhooks: %s", error)
            except Exception:
                log.exception("webhooks")
            await asyncio.sleep(POLL_S)

    def send_due(self, now: float | None = None) -> int:
        """Try what is due now; how many there were."""
        now = time.time() if now is None else now
        due = due_hooks(self._db, now=now, take_s=_TAKEN_S)
        for hook in due:
            row = get_job(self._db, hook.job_id).row()
            try:
                deliver(hook, json.dumps({"event": "job.ended", "job": row}), private=self._private)
            except (OSError, http.client.HTTPException, BeholderError) as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                log.warning("webhook of job %s, attempt %d: %s", hook.job_id, hook.attempt, reason)
                postponed(self._db, hook, reason[:500], now=time.time())
            else:
                delivered(self._db, hook)
        return len(due)


def check_url(url: str, *, private: bool) -> None:
    """Raise InvalidInput for what can't be a webhook, without looking its name up."""
    parsed = urlsplit(url)
    try:
        fits = parsed.scheme in ("http", "https") and parsed.hostname and parsed.port != 0
    except ValueError:  # a port that is no number
        fits = False
    if not fits or parsed.username or not url.isprintable() or " " in url:
        raise InvalidInput("webhook: write an http:// or https:// address without a password.")
    host = parsed.hostname or ""
    if not private and (host == "localhost" or _is_private_literal(host)):
        raise InvalidInput(_NOT_PUBLIC.format(host=host))


def deliver(hook: DueHook, body: str, *, private: bool) -> None:
    """Send one. Raises OSError, HTTPException or InvalidInput where it does not arrive."""
    check_url(hook.url, private=private)
    parsed = urlsplit(hook.url)
    connection = _connect(parsed, private=private)
    try:
        connection.request("POST", _target(parsed), body.encode(), _headers(hook, body))
        answer = connection.getresponse()
        if not 200 <= answer.status < 300:
            raise http.client.HTTPException(f"{parsed.netloc} answered {answer.status}")
    finally:
        connection.close()


def signature(secret: str, timestamp: str, body: str) -> str:
    """What the receiver compares with the header Beholder-Signature."""
    signed = f"{timestamp}.{body}".encode()
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def _headers(hook: DueHook, body: str) -> dict[str, str]:
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"beholder/{__version__}",
        "Beholder-Delivery": f"{hook.job_id}-{hook.attempt}",
        "Beholder-Timestamp": timestamp,
    }
    if hook.secret:
        headers["Beholder-Signature"] = signature(hook.secret, timestamp, body)
    return headers


def _target(parsed: SplitResult) -> str:
    query = f"?{parsed.query}" if parsed.query else ""
    return f"{parsed.path or '/'}{query}"


def _connect(parsed: SplitResult, *, private: bool) -> http.client.HTTPConnection:
    """A connection to an address that was looked up, and looked at, once."""
    host = parsed.hostname or ""
    secure = parsed.scheme == "https"
    port = parsed.port or (443 if secure else 80)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    address = str(found[0][4][0])
    if not private and not all(_is_public(str(one[4][0])) for one in found):
        raise InvalidInput(_NOT_PUBLIC.format(host=host))
    raw = socket.create_connection((address, port), TIMEOUT_S)
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    if secure:
        context = ssl.create_default_context()
        connection.sock = context.wrap_socket(raw, server_hostname=host)
    else:
        connection.sock = raw
    return connection


def _is_private_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return not _is_public(host)


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_global and not found.is_multicast
