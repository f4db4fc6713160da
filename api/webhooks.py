"""Telling others that a job has ended: `Sender` runs in the API's process, `deliver` sends one.

A delivery is a POST of the job's row, signed with HMAC-SHA256 over "TIMESTAMP.BODY". It is never
redirected, and goes only to public addresses unless BEHOLDER_WEBHOOK_PRIVATE allows others: a job
must not be a way to reach what only this server can reach.
"""

import asyncio
import hashlib
import hmac
import http.client
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import SplitResult

from starlette.concurrency import run_in_threadpool

from api.addresses import NOT_PUBLIC, check_url, is_public
from beholder import __version__
from beholder.errors import BeholderError, InvalidInput
from beholder.jobs.database import Database
from beholder.jobs.hooks import DueHook, delivered, due_hooks, postponed
from beholder.jobs.queries import get_job
from beholder.settings import Settings

log = logging.getLogger(__name__)
TIMEOUT_S = 10.0
POLL_S = 1.0
TOTAL_S = 20.0  # for all of one delivery
BATCH = 4
_TAKEN_S = 120.0  # another sender may try again after that: longer than a batch takes


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
            tried = 0
            try:
                tried = await run_in_threadpool(self.send_due)
            except BeholderError as error:
                log.warning("webhooks: %s", error)
            except Exception:
                log.exception("webhooks")
            await asyncio.sleep(0 if tried == BATCH else POLL_S)

    def send_due(self) -> int:
        """Try what is due now; how many there were."""
        due = due_hooks(self._db, take_s=_TAKEN_S, limit=BATCH)
        for hook in due:
            self._try(hook)
        return len(due)

    def _try(self, hook: DueHook) -> None:
        """Send one; whatever goes wrong with it is its own, and costs it an attempt."""
        try:
            job = get_job(self._db, hook.job_id)
            if job.finished_at is None:
                return  # it runs again: its next end will be told
            body = json.dumps({"event": "job.ended", "job": job.row()})
            end = f"{job.id}-{job.finished_at:%Y%m%dT%H%M%S.%fZ}"
            deliver(hook, body, end=end, private=self._private)
            delivered(self._db, hook)
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            unforeseen = not isinstance(error, OSError | http.client.HTTPException | BeholderError)
            log.warning(
                "webhook of job %s, attempt %d: %s",
                hook.job_id,
                hook.attempt,
                reason,
                exc_info=unforeseen,
                extra={"job": hook.job_id},
            )
            postponed(self._db, hook, reason[:500])


def deliver(hook: DueHook, body: str, *, end: str, private: bool) -> None:
    """Send one. end: the same in every attempt to tell of this end of the job, and of no other.

    Raises OSError, HTTPException or InvalidInput where it does not arrive.
    """
    ends = time.monotonic() + TOTAL_S
    parsed = check_url(hook.url, private=private)
    connection = _connect(parsed, private=private)
    try:
        with _until(ends, connection.sock):
            if isinstance(connection.sock, ssl.SSLSocket):
                connection.sock.do_handshake()
            connection.request("POST", _target(parsed), body.encode(), _headers(hook, body, end))
            answer = connection.getresponse()
        if not 200 <= answer.status < 300:
            raise http.client.HTTPException(f"{parsed.netloc} answered {answer.status}")
    finally:
        connection.close()


@contextmanager
def _until(ends: float, sock: socket.socket) -> Iterator[None]:
    """Break a connection off at that time. Raises TimeoutError if it came to that."""
    late = threading.Event()

    def break_off() -> None:
        late.set()
        try:
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # TLS's own would say goodbye first
        except OSError:
            log.debug("the connection had ended already")

    timer = threading.Timer(max(0.0, ends - time.monotonic()), break_off)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception:
        if late.is_set():
            raise TimeoutError(f"no answer within {TOTAL_S:g} s") from None
        raise
    finally:
        timer.cancel()


def signature(secret: str, timestamp: str, body: str) -> str:
    """What the receiver compares with the header Beholder-Signature."""
    signed = f"{timestamp}.{body}".encode()
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def _headers(hook: DueHook, body: str, end: str) -> dict[str, str]:
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"beholder/{__version__}",
        "Beholder-Delivery": end,
        "Beholder-Attempt": str(hook.attempt),
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
    if not private and not all(is_public(str(one[4][0])) for one in found):
        raise InvalidInput(NOT_PUBLIC.format(host=host))
    raw = socket.create_connection((address, port), TIMEOUT_S)
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    if secure:
        context = ssl.create_default_context()
        connection.sock = context.wrap_socket(
            raw, server_hostname=host, do_handshake_on_connect=False
        )
    else:
        connection.sock = raw
    return connection
