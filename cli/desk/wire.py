"""HTTP to one server: `Wire` asks again where the line or the server failed for a while.

Whatever fails for good is one line that says what to change; no token is in it.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import urlencode

from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
)
from urllib3.util import Timeout

from beholder import __version__
from beholder.durations import duration
from beholder.errors import ServiceUnavailable
from cli.desk.proxies import pool_for
from cli.desk.refusals import (
    FOR_A_WHILE,
    Answer,
    Broken,
    insist_on_beholder,
    is_unsafe,
    reason_of,
    refusal,
    unreachable,
)
from cli.output import say

CONNECTIONS = 16  # as many as threads ask at a time
CONNECT_S, READ_S = 5.0, 60.0
FIRST_S = 2.0  # how long a server that has not answered yet is asked again
PATIENCE_S = 90.0  # and one that has
AWAY_S = 1.0  # after which it is said that a server is away
_PAUSES_S = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0)  # the last again and again
_ONCE = frozenset({"POST", "PATCH"})  # may not be sent twice, unless the caller says so
_PIECE = 64 << 10
_NEVER_SENT = (NewConnectionError, ConnectTimeoutError, NameResolutionError)
Body = bytes | IO[bytes]
Query = Mapping[str, object]


class Wire:
    """One server, for any number of threads. url: its address; token: None where it wants none.

    hurry: once it is set, nobody waits for the server to come back, and downloads end.
    patience_s: so long at least a server is waited for that has answered; longer than usual for
    who follows a job.
    """

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self.hurry = threading.Event()
        self.patience_s = 0.0
        self._pool = pool_for(url, connections=CONNECTIONS)
        self._has_token = token is not None
        self._headers = {"User-Agent": f"beholder/{__version__}", "Accept-Encoding": "identity"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._answered = False
        self._away = False
        self._said = threading.Lock()

    def get(self, path: str, query: Query | None = None, **options: Any) -> Any:
        """The JSON at a path. Options are those of `ask`."""
        return self.ask("GET", path, query=query, **options)

    def pages(
        self,
        path: str,
        what: str,
        cursor: str,
        query: Query,
        *,
        page: int,
        begin: object = None,
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Every row of a list, or the first `limit`. cursor: how the server calls `next`."""
        more, left = begin, limit
        while left is None or left > 0:
            size = page if left is None else min(page, left)
            found = self.get(path, {**query, cursor: more, "limit": size})
            yield from found[what]
            more = found["next"]
            if more is None:
                return
            left = None if left is None else left - len(found[what])

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = None,
        **options: Any,
    ) -> Any:
        """The JSON that a request is answered with. body: is sent as JSON. Options: of `open`."""
        if body is not None:
            options["headers"] = {"Content-Type": "application/json", **options.get("headers", {})}
            options["body"] = json.dumps(body).encode()
        return self._json(self._told(method, path, query=query, **options)[1])

    def read(self, path: str, query: Query | None = None) -> bytes:
        """The bytes at a path, of what is small enough to be sent anew where the line broke."""
        return self._told("GET", path, query=query)[1]

    def send(
        self, method: str, path: str, body: Body, kind: str, **options: Any
    ) -> tuple[int, Any]:
        """Status and JSON that a body of this kind is answered with. Options: of `open`."""
        headers = {"Content-Type": kind, **options.pop("headers", {})}
        status, data = self._told(method, path, headers=headers, body=body, **options)
        return status, self._json(data)

    def _told(self, method: str, path: str, **options: Any) -> tuple[int, bytes]:
        again = options.setdefault("again", method not in _ONCE)
        pauses = iter(_PAUSES_S)
        while True:
            try:
                with self.open(method, path, **options) as answer:
                    return answer.status, answer.read()
            except Broken:
                pause_s = next(pauses, None)
                if pause_s is None or not again:
                    raise
                self.hurry.wait(pause_s)

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        again: bool | None = None,
        read_s: float = READ_S,
    ) -> Iterator[Answer]:
        """An answer to be read, of a status below 300; the caller reads it inside.

        again: whether the request may be sent twice, by default unless it is a POST or a PATCH.
        Raises BeholderError; also where reading the answer breaks off.
        """
        again = method not in _ONCE if again is None else again
        answer = self._answer(
            method,
            f"{self.url}{path}{_query(query)}",
            again=again,
            body=body,
            headers={**self._headers, **(headers or {})},
            timeout=Timeout(connect=CONNECT_S, read=read_s),
        )
        try:
            insist_on_beholder(self.url, answer, answered=self._answered)
            self._answered, self._away = True, False
            if answer.status >= 300:
                raise refusal(self.url, answer, has_token=self._has_token)
            yield answer
            answer.drain_conn()
        except HTTPError as error:
            answer.close()
            raise Broken(f"{self.url} broke off in mid-answer ({reason_of(error)}).") from None
        except BaseException:
            answer.close()
            raise

    def download(self, path: str, write: Callable[[bytes], object]) -> None:
        """Write what is at a path, going on where the line broke. For what never changes."""
        got, stuck = 0, 0
        while True:
            before = got
            headers = {"Range": f"bytes={got}-"} if got else {}
            try:
                with self.open("GET", path, headers=headers) as answer:
                    skip = got if answer.status == 200 else 0  # a server that knows no ranges
                    for piece in pieces_of(answer):
                        if self.hurry.is_set():
                            raise ServiceUnavailable(f"{self.url}: given up in mid-answer.")
                        write(piece[skip:])
                        got += max(0, len(piece) - skip)
                        skip = max(0, skip - len(piece))
                return
            except Broken:
                stuck = 0 if got > before else stuck + 1
                if stuck == len(_PAUSES_S):
                    raise
                self.hurry.wait(_PAUSES_S[stuck])

    def _answer(self, method: str, url: str, *, again: bool, **sent: Any) -> Answer:
        """The first answer that is not of a server which can't for a while."""
        begun, tries = time.monotonic(), 0
        patience_s = max(PATIENCE_S, self.patience_s) if self._answered else FIRST_S
        while True:
            if hasattr(sent["body"], "seek"):
                sent["body"].seek(0)
            pause = _PAUSES_S[min(tries, len(_PAUSES_S) - 1)] * random.uniform(0.8, 1.2)
            waited = time.monotonic() - begun
            last = waited + pause > patience_s or self.hurry.is_set()
            tries += 1
            try:
                answer = self._pool.urlopen(
                    method, url, preload_content=False, retries=False, redirect=False, **sent
                )
            except HTTPError as error:
                unsent = isinstance(error, _NEVER_SENT)
                if last or is_unsafe(error) or not (again or unsent):
                    raise unreachable(self.url, error, answered=self._answered) from None
                state = f"can't be reached ({reason_of(error)})"
            else:
                if last or answer.status not in FOR_A_WHILE or not again:
                    return answer
                pause = max(pause, _asked_to_wait(answer))
                state = f"can't answer now (it says {answer.status})"
                answer.close()
            if self._answered and waited >= AWAY_S:
                self._say_away(state, patience_s)
            self.hurry.wait(pause)

    def _say_away(self, state: str, patience_s: float) -> None:
        """Once, however many threads wait, until it has answered again."""
        with self._said:
            if not self._away:
                self._away = True
                say(f"{self.url} {state}: trying again for {duration(patience_s)}.")

    def _json(self, data: bytes) -> Any:
        try:
            return json.loads(data) if data else None
        except ValueError:
            raise ServiceUnavailable(
                f"{self.url} answered with what is no JSON: is a proxy in between that changes it?"
            ) from None


def pieces_of(answer: Answer) -> Iterator[bytes]:
    """An answer's bytes as they arrive, so that none that did is lost where it breaks off."""
    while piece := answer.read1(_PIECE):
        yield piece


def lines_of(answer: Answer) -> Iterator[str]:
    """The same as lines."""
    rest = b""
    for piece in pieces_of(answer):
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line.decode() for line in whole)
    if rest:
        yield rest.decode()


def _query(query: Query | None) -> str:
    """Without what is None or false; a list gives its name several times."""
    words = {
        name: "true" if value is True else value
        for name, value in (query or {}).items()
        if value is not None and value is not False
    }
    return f"?{urlencode(words, doseq=True, errors='replace')}" if words else ""


def _asked_to_wait(answer: Answer) -> float:
    """Seconds that Retry-After names, up to half a minute."""
    text = answer.headers.get("Retry-After", "")
    return min(float(text), 30.0) if text.isdecimal() else 0.0
