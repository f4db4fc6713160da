"""Problems as pages: whoever has a browser before them is told in HTML what programs get as JSON.

Around everything else, so that it is one place for what routes, FastAPI and the guard refuse.
"""

import json
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.page_render import render, sentence, wants_page
from api.problems import PROBLEM

_OF_THE_JSON = ("content-type", "content-length")


class PageProblems:
    """Answers of application/problem+json become pages, with the same status and headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not wants_page(scope):
            await self._app(scope, receive, send)
            return
        held: Message | None = None

        async def shown(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_problem(message):
                held = message
            elif held is None:
                await send(message)
            elif message["type"] == "http.response.body":  # which a problem has in one piece
                page = _page(Request(scope), held, json.loads(message["body"]))
                await page(scope, receive, send)

        await self._app(scope, receive, shown)


def _is_problem(message: Message) -> bool:
    return Headers(raw=message["headers"]).get("content-type", "") == PROBLEM


def _page(request: Request, start: Message, problem: dict[str, Any]) -> Any:
    page = render(
        request,
        "error.html",
        start["status"],
        heading=problem["title"],
        message=sentence(problem["detail"]),
    )
    kept = MutableHeaders(raw=list(start["headers"]))
    for name in _OF_THE_JSON:
        del kept[name]
    page.headers.update(kept)
    return page
