"""HTTP to one server: `Wire` asks again where the line or the server failed for a while.

Whatever fails for good is one line that says what to change; no token is in it.
"""

import json
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Timeout

from beholder import __version__
from beholder.errors import (
    BeholderError,
    Conflict,
    InvalidInput,
    NotFound,
    NotInstalled,
    PictureError,
    ServiceUnavailable,
    StorageFull,
)
from beholder.protocol import API_HEADER, API_LEVEL

CONNECTIONS = 16  # as many as threads ask at a time
CONNECT_S, READ_S = 5.0, 60.0
FIRST_S = 2.0  # how long a server that has not answered yet is asked again
PATIENCE_S = 90.0  # and one that has
_PAUSES_S = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0)  # the last again and again
_FOR_A_WHILE = frozenset({429, 502, 503, 504})
_ONCE = frozenset({"POST", "PATCH"})  # may not be sent twice, unless the caller says so
_PIECE = 64 << 10
_MAX_PROBLEM = 64 << 10  # bytes that are read of an error
_NEVER_SENT = (NewConnectionError, ConnectTimeoutError, NameResolutionError)
_KINDS: Mapping[int, type[BeholderError]] = {
    404: NotFound,
    409: Conflict,
    501: NotInstalled,
    503: ServiceUnavailable,
    507: StorageFull,
}

Answer = urllib3.BaseHTTPResponse
Body = bytes | IO[bytes]
Query = Mapping[str, object]


class Wire:
    """One server, for any number of threads. url: its address; token: None where it wants none.

    hurry: once it is set, nobody waits for the server to come back.
    """

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self.hurry = threading.Event()
        self._pool = _pool(url)
        self._has_token = token is not None
        self._headers = {"User-Agent": f"beholder/{__version__}", "Accept-Encoding": "identity"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._answered = False

    def get(self, path: str, query: Query | None = None, **options: Any) -> Any:
        """The JSON at a path. Options are those of `ask`."""
        return self.ask("GET", path, query=query, **options)

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
        return self._told(method, path, query=query, **options)[1]

    def send(
        self, method: str, path: str, body: Body, kind: str, **options: Any
    ) -> tuple[int, Any]:
        """Status and JSON that a body of this kind is answered with. Options: of `open`."""
        headers = {"Content-Type": kind, **options.pop("headers", {})}
        return self._told(method, path, headers=headers, body=body, **options)

    def _told(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        again = options.setdefault("again", method not in _ONCE)
        pauses = iter(_PAUSES_S)
        while True:
            try:
                with self.open(method, path, **options) as answer:
                    return answer.status, self._json(answer)
            except Broken:
                pause_s = next(pauses, None)
                if pause_s is None or not again:
                    raise
                time.sleep(pause_s)

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
        patience_s: float | None = None,
        read_s: float = READ_S,
    ) -> Iterator[Answer]:
        """An answer to be read, of a status below 300; the caller reads it inside.

        again: whether the request may be sent twice, by default unless it is a POST or a PATCH.
        patience_s: for how long. Raises BeholderError; also where reading the answer breaks off.
        """
        again = method not in _ONCE if again is None else again
        answer = self._answer(
            method,
            f"{self.url}{path}{_query(query)}",
            again=again,
            patience_s=patience_s,
            body=body,
            headers={**self._headers, **(headers or {})},
            timeout=Timeout(connect=CONNECT_S, read=read_s),
        )
        try:
            self._insist_on_beholder(answer)
            if answer.status >= 300:
                raise self._refusal(answer)
            yield answer
            answer.drain_conn()
        except HTTPError as error:
            answer.close()
            raise Broken(f"{self.url} broke off in mid-answer ({_reason(error)}).") from None
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
                        write(piece[skip:])
                        got += max(0, len(piece) - skip)
                        skip = max(0, skip - len(piece))
                return
            except Broken:
                stuck = 0 if got > before else stuck + 1
                if stuck == len(_PAUSES_S):
                    raise
                time.sleep(_PAUSES_S[stuck])

    def _answer(
        self, method: str, url: str, *, again: bool, patience_s: float | None, **sent: Any
    ) -> Answer:
        """The first answer that is not of a server which can't for a while."""
        if patience_s is None:
            patience_s = PATIENCE_S if self._answered else FIRST_S
        ends, tries = time.monotonic() + patience_s, 0
        while True:
            if hasattr(sent["body"], "seek"):
                sent["body"].seek(0)
            pause = _PAUSES_S[min(tries, len(_PAUSES_S) - 1)] * random.uniform(0.8, 1.2)
            last = time.monotonic() + pause > ends or self.hurry.is_set()
            tries += 1
            try:
                answer = self._pool.urlopen(
                    method, url, preload_content=False, retries=False, redirect=False, **sent
                )
            except HTTPError as error:
                unsent = isinstance(error, _NEVER_SENT)
                if last or isinstance(error, SSLError) or not (again or unsent):
                    raise _unreachable(self.url, error, answered=self._answered) from None
            else:
                if last or answer.status not in _FOR_A_WHILE or not again:
                    return answer
                pause = max(pause, _asked_to_wait(answer))
                answer.close()
            self.hurry.wait(pause)

    def _insist_on_beholder(self, answer: Answer) -> None:
        """Raise unless a Beholder server of this level has answered."""
        level = answer.headers.get(API_HEADER)
        if level == str(API_LEVEL):
            self._answered = True
            return
        where = answer.headers.get("Location")
        if level is None and answer.status in (301, 302, 307, 308) and where:
            raise InvalidInput(
                f"{self.url} sends elsewhere, to {where.partition('?')[0][:200]}: give --server "
                "(BEHOLDER_SERVER) the address that is meant."
            )
        if level is None and answer.status in _FOR_A_WHILE:
            raise ServiceUnavailable(
                f"what stands before the server at {self.url} says {answer.status}: is the server "
                "running? Try again later."
            )
        if level is None or not level.isdecimal():
            raise InvalidInput(
                f"{self.url} is no Beholder server, or an older one than this command "
                f"({__version__}) can ask: check --server (BEHOLDER_SERVER), or update the server."
            )
        older = int(level) < API_LEVEL
        raise InvalidInput(
            f"{self.url} is {'older' if older else 'newer'} than this command (its API is of level "
            f"{level}, this of {API_LEVEL}): update {'the server' if older else 'Beholder here'}."
        )

    def _refusal(self, answer: Answer) -> BeholderError:
        """What a problem says, as an error of this process."""
        problem = _problem(answer)
        detail = problem.get("detail") or f"{self.url} answered {answer.status}."
        if answer.status == 401:
            return InvalidInput(_token_wanted(self.url, has_token=self._has_token))
        if answer.status == 404 and "/openapi.json" in detail:
            return InvalidInput(
                f"{self.url} does not know that question: it is older than this command "
                f"({__version__}). Update the server."
            )
        if answer.status == 421:
            return InvalidInput(f"{self.url} is not told its own name. On the server: {detail}")
        if answer.status == 413:
            return TooLarge(detail)
        if "picture" in problem.get("title", "").lower():
            return PictureError(detail)
        if answer.status >= 500:
            return _KINDS.get(answer.status, ServiceUnavailable)(detail)
        return _KINDS.get(answer.status, InvalidInput)(detail)

    def _json(self, answer: Answer) -> Any:
        data = answer.read()
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


class Broken(ServiceUnavailable):
    """An answer broke off; what came before is good."""


class TooLarge(InvalidInput):
    """More than the server takes."""


def _pool(url: str) -> urllib3.PoolManager:
    """Connections, through the proxy that the environment names for this host, if any."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    options: dict[str, Any] = {"maxsize": CONNECTIONS}
    if proxy and not proxy_bypass(parts.netloc):
        return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)


def _query(query: Query | None) -> str:
    """Without what is None or false; a list gives its name several times."""
    words = {
        name: "true" if value is True else value
        for name, value in (query or {}).items()
        if value is not None and value is not False
    }
    return f"?{urlencode(words, doseq=True)}" if words else ""


def _problem(answer: Answer) -> dict[str, str]:
    try:
        found = json.loads(answer.read(_MAX_PROBLEM))
    except ValueError:
        return {}
    return {key: str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _asked_to_wait(answer: Answer) -> float:
    """Seconds that Retry-After names, up to half a minute."""
    text = answer.headers.get("Retry-After", "")
    return min(float(text), 30.0) if text.isdecimal() else 0.0


def _token_wanted(url: str, *, has_token: bool) -> str:
    if has_token:
        return (
            f"{url} does not know this token: check --token-file (BEHOLDER_TOKEN_FILE), and "
            "BEHOLDER_API_TOKENS on the server."
        )
    return (
        f"{url} asks for a token: name a file that holds one with --token-file "
        "(BEHOLDER_TOKEN_FILE); `beholder token NAME` on the server makes one."
    )


def _unreachable(url: str, error: HTTPError, *, answered: bool) -> ServiceUnavailable:
    reason = _reason(error)
    if isinstance(error, SSLError):
        return ServiceUnavailable(
            f"{url}: no safe connection ({reason}). If its certificate is your own authority's, "
            "name that one's file in SSL_CERT_FILE."
        )
    if isinstance(error, ProxyError):
        return ServiceUnavailable(
            f"{url}: the proxy does not answer ({reason}): check HTTPS_PROXY."
        )
    if answered:
        return ServiceUnavailable(f"{url} answers no more ({reason}): try again when it is back.")
    return ServiceUnavailable(
        f"{url} does not answer ({reason}): check --server (BEHOLDER_SERVER), and that `beholder "
        "up` runs there."
    )


def _reason(error: HTTPError) -> str:
    """In a few words, without urllib3's object names."""
    if isinstance(error, NameResolutionError):
        return "no host of that name"
    inner = error.__cause__ or next(reversed(error.args), None)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return inner.verify_message.lower()
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror.lower()
    late = isinstance(error, ConnectTimeoutError | ReadTimeoutError)
    return "no answer in time" if late else "cut off"
