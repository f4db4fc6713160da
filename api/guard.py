"""What stands before every route: where a request comes from, whose it is, and the headers that
every answer carries. A plain ASGI middleware, so that streams pass through untouched.
"""

import logging
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import COOKIE, required_scope
from api.bodies import FREE_BYTES, MAX_JSON_BYTES, ROOM_BYTES, Room, in_time, memory_of
from api.page_render import wants_page
from api.problems import Forbidden, TooLarge, Unauthorized, bug, problem, problem_of
from beholder.errors import BeholderError, InvalidInput
from beholder.protocol import API_HEADER, API_LEVEL
from beholder.settings import Settings
from beholder.tokens import OWNER, STRANGER, Caller, Tokens

log = logging.getLogger(__name__)
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
STREAMED = frozenset({"/v1/dreams", "/v1/studies", "/v1/pictures", "/new", "/new/study"})
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
SECURITY_HEADERS = {
    API_HEADER: str(API_LEVEL),
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Refuses strangers, foreign sites and unknown host names; the caller goes into the scope."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._room = Room(ROOM_BYTES)
        self._tokens = Tokens(settings.api_tokens.get_secret_value())
        names = {name.strip().lower() for name in settings.api_hosts.split(",")} - {""}
        self._hosts = _LOCAL_NAMES | {_bracketed(settings.api_host)} | names
        self._any_host = bool(self._tokens) and not names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            if refusal := self._refusal(scope):
                await refusal(scope, receive, with_headers)
            elif scope["method"] in SAFE:  # whose body nobody reads
                await self._app(scope, receive, with_headers)
            else:
                async with self._room.taken(memory_of(scope, self._settings)):
                    await self._app(scope, _bounded(scope, in_time(receive)), with_headers)
        except BeholderError as error:
            await problem_of(error)(scope, receive, with_headers)
        except ClientDisconnect:
            log.info("%s %s: the client left", scope["method"], scope["path"])
        except Exception:
            log.exception("%s %s", scope["method"], scope["path"])
            if started:  # too late to say anything but that the answer breaks off
                raise
            await bug()(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._known(host):
            return problem(421, f"no host {host!r} here: add it to BEHOLDER_API_HOSTS.")
        try:
            _refuse_nul(scope)
            _refuse_large(scope, headers)
            if scope["method"] not in SAFE:
                _refuse_foreign(headers, host)
            scope.setdefault("state", {})["caller"] = self._caller(scope, headers)
        except Unauthorized as error:
            return _sign_in(scope) or problem_of(error)
        except BeholderError as error:
            return problem_of(error)
        return None

    def _known(self, host: str) -> bool:
        """Whether a Host header names this server: another name that leads here may be a trap.

        A page of a stranger's site can point its own name at 127.0.0.1 (DNS rebinding). Where
        tokens are asked for, that page has none, so any name will do unless some are set.
        """
        return self._any_host or _without_port(host).lower() in self._hosts

    def _caller(self, scope: Scope, headers: Headers) -> Caller:
        if not self._tokens:
            return OWNER
        needed = required_scope(scope["method"], scope["path"])
        token = next(_given(headers), None)
        caller = self._tokens.caller(token) if token else None
        if needed is None:
            return caller or STRANGER
        if caller is None:
            what = "this token is unknown" if token else "a token is needed"
            raise Unauthorized(f"{what}: send `Authorization: Bearer TOKEN`, or sign in.")
        if not caller.may(needed):
            raise Forbidden(
                f"the token {caller.name!r} may {caller.scope}; this needs the scope {needed}."
            )
        return caller


def _refuse_nul(scope: Scope) -> None:
    """No id, name or label has one, and Postgres takes none in a text."""
    if "\0" in scope["path"] or b"%00" in scope["query_string"]:
        raise InvalidInput("the address has a NUL character (%00): leave it out.")


def _refuse_large(scope: Scope, headers: Headers) -> None:
    """What is too large by its own account need not be read."""
    most, length = _most_of(scope), headers.get("content-length", "")
    if most is not None and length.isdecimal() and int(length) > most:
        raise _too_large(most)


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """Where a body is read whole before anyone looks at it, no more than so much is read."""
    most, received = _most_of(scope), 0
    if most is None:
        return receive

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise _too_large(most)
        return message

    return counted


def _most_of(scope: Scope) -> int | None:
    """Bytes that a body may have; None where the route reads it as it arrives, with own limits."""
    path: str = scope["path"]
    if required_scope(scope["method"], path) is None:  # strangers get none of the room for bodies
        return FREE_BYTES
    return None if path in STREAMED or path.startswith("/v1/uploads/") else MAX_JSON_BYTES


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"this request may have {most:,} bytes.")


def _given(headers: Headers) -> Iterator[str]:
    """The token in the header, else in the cookie of a browser that signed in."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        yield token.strip()
    if given := cookie_parser(headers.get("cookie", "")).get(COOKIE):
        yield given


def _refuse_foreign(headers: Headers, host: str) -> None:
    """A browser says where a request comes from; other programs say nothing, and may."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    same = origin is None or _netloc(origin) == host.lower()
    if not same or site not in ("same-origin", "none"):
        raise Forbidden("another site's page may not do this: use this server's own page.")


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # such as http://[
        return None


def _sign_in(scope: Scope) -> Response | None:
    """For a browser that opens a page without a token: the form to enter it, then that page."""
    if scope["method"] != "GET" or not wants_page(scope):
        return None
    query = scope["query_string"].decode("latin-1")
    wanted = quote(scope["path"]) + (f"?{query}" if query else "")
    return RedirectResponse(f"/sign-in?next={quote(wanted)}", 303)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host.lower()
