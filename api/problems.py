"""Errors as application/problem+json (RFC 9457): core errors, FastAPI's own, and what is a bug.

`PROBLEMS` is the one place where a core error gets its HTTP status; its sentence stays as it is.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from beholder import errors
from beholder.mistakes import mistake

log = logging.getLogger(__name__)
PROBLEM = "application/problem+json"


class TooLarge(errors.InvalidInput):
    """The request is larger than this server takes."""


class TooSlow(errors.InvalidInput):
    """The request's body did not come in time."""


class Unauthorized(errors.BeholderError):
    """A token is needed, or the one given is unknown."""


class Forbidden(errors.BeholderError):
    """The token, or the place that the request comes from, does not allow it."""


class NotReady(errors.BeholderError):
    """Something that jobs need does not answer."""


class RoomTaken(errors.ServiceUnavailable):
    """Others have the room for the moment: the same request will do later."""


# The first that fits counts, so children stand before their parents.
PROBLEMS: tuple[tuple[type[errors.BeholderError], int, str], ...] = (
    (TooLarge, 413, "Too large"),
    (TooSlow, 408, "Too slow"),
    (errors.InvalidInput, 422, "Invalid input"),
    (errors.PictureError, 422, "Picture that can't be used"),
    (Unauthorized, 401, "Token needed"),
    (Forbidden, 403, "Not allowed"),
    (errors.NotFound, 404, "Not found"),
    (errors.Conflict, 409, "Conflict"),
    (errors.NotInstalled, 501, "Not installed"),
    (errors.StorageFull, 507, "No room left"),
    (errors.DatabaseOutdated, 503, "Database outdated"),
    (errors.NetworkUnavailable, 503, "Network unavailable"),
    (RoomTaken, 503, "No room for now"),
    (errors.ServiceUnavailable, 503, "Service unavailable"),
    (NotReady, 503, "Not ready"),
)
_TITLES = {400: "Bad request", 405: "Method not allowed", 421: "Wrong host"}
_SECRET = frozenset({"token", "webhook"})  # fields of which no answer or log repeats anything
_HEADERS = {
    Unauthorized: {"WWW-Authenticate": "Bearer"},
    TooSlow: {"Connection": "close"},  # else the rest of the body could come for ever
    RoomTaken: {"Retry-After": "2"},
}
_BUG = "an error inside Beholder; the server's log has more."


class Problem(BaseModel):
    """What went wrong. `detail` is the sentence that the command line would print."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


_EXAMPLE = {
    "type": "about:blank",
    "title": "Not found",
    "status": 404,
    "detail": "no job 'k3v8': `beholder jobs` lists them.",
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's OpenAPI: that it may answer these with a problem."""
    content = {PROBLEM: {"schema": _schema(), "example": _EXAMPLE}}
    return {status: {"description": _title(status), "content": content} for status in statuses}


def problem(
    status: int, detail: str, *, title: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The answer that says so."""
    body = Problem(title=title or _title(status), status=status, detail=detail)
    return JSONResponse(body.model_dump(), status, dict(headers or {}), media_type=PROBLEM)


def problem_of(error: errors.BeholderError) -> JSONResponse:
    """The answer to a core error."""
    for kind, status, title in PROBLEMS:
        if isinstance(error, kind):
            return problem(status, str(error), title=title, headers=_HEADERS.get(kind))
    return problem(500, str(error), title="Error")


def bug() -> JSONResponse:
    """The answer where the code is wrong: never a traceback."""
    return problem(500, _BUG, title="Error")


def install(app: FastAPI, missing_page: Callable[[Request], Response | None]) -> None:
    """Answer every error of `app` with a problem.

    missing_page: what a browser is shown instead where nothing is; None for who is no browser.
    """

    @app.exception_handler(errors.BeholderError)
    async def core_error(request: Request, error: errors.BeholderError) -> JSONResponse:
        return problem_of(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return problem(422, sentence(error.errors()), title="Invalid input")

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, errors.BeholderError):  # raised while the body was read
            return problem_of(error.__cause__)
        detail = str(error.detail)
        if error.status_code == 404 and detail == "Not Found":
            if page := missing_page(request):
                return page
            detail = f"nothing at {request.url.path}: /openapi.json lists the addresses."
        elif error.status_code == 405:
            detail = f"{request.method} is not for {request.url.path}: see /openapi.json."
        return problem(error.status_code, detail, headers=error.headers)


def sentence(details: Sequence[Any], known: Iterable[str] = ()) -> str:
    """Validation errors on one line: "limit: input should be ...; got '0'".

    known: the fields that there are at the top.
    """
    return "; ".join(dict.fromkeys(_clause(detail, known) for detail in details))


def _clause(detail: Any, known: Iterable[str]) -> str:
    place = detail["loc"][1:]
    where = ".".join(str(part) for part in place) or "body"
    return f"{where}: {mistake(detail, known if len(place) == 1 else ())}{_shown(detail)}"


def _shown(detail: Any) -> str:
    """What was given, in short; but no secret, be it in the wrong place, and no whole body."""
    place, given = detail["loc"], detail.get("input")
    known = len(place) > 1 and detail["type"] != "extra_forbidden"
    if known and not _SECRET.intersection(place) and isinstance(given, str | int | float | bool):
        return f"; got {given!r}"[:100]
    return ""


def _title(status: int) -> str:
    known = {status: title for _, status, title in reversed(PROBLEMS)}
    return known.get(status) or _TITLES.get(status, "Error")


def _schema() -> dict[str, Any]:
    return Problem.model_json_schema()
