"""Turning templates into answers: `render`, and `PageRoute`, which shows core errors as pages."""

import hashlib
import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from api.page_words import bytes_words, duration, number_words, short
from api.problems import PROBLEMS
from beholder import __version__
from beholder.errors import BeholderError
from beholder.jobs.completion import fruitful
from beholder.layers import LAYERS
from beholder.tokens import STRANGER, Caller

WEB = Path(__file__).parent / "web"
# What errors advise a command line to do, and what a browser can.
_IN_A_BROWSER = {
    "`beholder jobs` lists them": "“All jobs” lists them",
    "name a picture file, or a folder that holds some": "drop some, or choose files or a folder",
    "add --control or --sibling pictures": "drop controls or siblings",
}
_OF_LAYERS = re.compile(r" `beholder layers[^`]*` lists them\.")  # the form draws them
_LAYERS = frozenset(layer.name for layer in LAYERS)
SEE_OTHER = 303  # after a POST: load that address with GET


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A template as a page. Everything in `values` is escaped where it is shown."""
    caller: Caller | None = request.scope.get("state", {}).get("caller")
    text = (
        _environment()
        .get_template(template)
        .render(request=request, path=request.url.path, visitor=caller or STRANGER, **values)
    )
    return HTMLResponse(text, status, headers={"Cache-Control": "no-store"})


def see_other(address: str) -> RedirectResponse:
    """Where to go after a POST."""
    return RedirectResponse(address, SEE_OTHER)


class PageRoute(APIRoute):
    """A route whose core errors become pages that say what to change; GET answers HEAD as well."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        if self.methods and "GET" in self.methods:
            self.methods.add("HEAD")

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler, with the errors caught."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except BeholderError as error:
                status, heading = status_of(error)
                return render(
                    request, "error.html", status, heading=heading, message=sentence(error)
                )

        return handle


def wants_page(scope: Scope) -> bool:
    """Whether a browser asks, and for one of the page's own addresses."""
    accepted = Headers(scope=scope).get("accept", "")
    return "text/html" in accepted and not scope["path"].startswith(("/v1/", "/static/"))


def missing_page(request: Request) -> HTMLResponse | None:
    """What a browser is shown where nothing is; None for others, and for the API's addresses."""
    if request.method not in ("GET", "HEAD") or not wants_page(request.scope):
        return None
    message = f"Nothing is at {request.url.path}: begin at “All jobs”."
    return render(request, "error.html", 404, heading="Not found", message=message)


def status_of(error: BeholderError) -> tuple[int, str]:
    """The HTTP status of an error, and a heading for it."""
    found = ((code, words) for kind, code, words in PROBLEMS if isinstance(error, kind))
    return next(found, (500, "An error inside Beholder"))


def sentence(error: BeholderError | str) -> str:
    """An error's message with a capital, unless a layer begins it, in words for a browser."""
    text = _OF_LAYERS.sub("", str(error))
    for said, shown in _IN_A_BROWSER.items():
        text = text.replace(said, shown)
    return text if text.split(" ", 1)[0] in _LAYERS else text[:1].upper() + text[1:]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(WEB / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "layers": LAYERS,
        "now": lambda: datetime.now(UTC),
        "static": _static,
        "version": __version__,
    }
    environment.filters |= {
        "ago": _ago,
        "bytes": bytes_words,
        "duration": duration,
        "fruitful": fruitful,
        "leaf": lambda path: path.rpartition("/")[2],
        "number": "{:,}".format,
        "percent": "{:.1%}".format,
        "short": short,
        "stamp": _stamp,
        "strength": number_words,
    }
    return environment


@cache
def _static(name: str) -> str:
    """A static file's address, with what changes when the file does."""
    digest = hashlib.sha256((WEB / "static" / name).read_bytes()).hexdigest()[:8]
    return f"/static/{name}?v={digest}"


def _stamp(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _ago(when: datetime) -> str:
    seconds = (datetime.now(UTC) - when).total_seconds()
    return "just now" if seconds < 5 else f"{duration(seconds)} ago"
