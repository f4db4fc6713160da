"""Signing in from a browser: `POST /session` puts the token into a cookie, DELETE forgets it."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from api.access import COOKIE
from api.page_render import render, wants_page
from api.problems import Unauthorized
from api.services import services
from beholder.tokens import Tokens

router = APIRouter(tags=["access"])
_YEAR_S = 365 * 24 * 3600


@router.post(
    "/session",
    status_code=303,
    response_class=RedirectResponse,
    response_model=None,
    summary="Sign a browser in",
)
def sign_in(
    request: Request,
    token: Annotated[str, Form(max_length=200, examples=["bhd_..."])],
    next: Annotated[str, Form(max_length=2000)] = "/",  # noqa: A002 - the field's name
) -> Response:
    """Keep the token in a cookie that scripts can't read, and go on to `next`."""
    settings = services(request).settings
    if Tokens(settings.api_tokens.get_secret_value()).caller(token.strip()) is None:
        if wants_page(request.scope):
            problem = "This token is unknown."  # where one comes from, the form says
            return render(request, "sign_in.html", 401, wanted=next, problem=problem)
        raise Unauthorized("this token is unknown: `beholder token NAME` makes one.")
    local = next.startswith("/") and not next.startswith(("//", "/\\"))
    answer = RedirectResponse(next if local else "/", 303)
    answer.set_cookie(
        COOKIE,
        token.strip(),
        max_age=_YEAR_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.delete("/session", status_code=204, summary="Sign a browser out")
def sign_out() -> Response:
    """Forget the cookie."""
    return forget_token(Response(status_code=204))


def forget_token(answer: Response) -> Response:
    """The same answer, which has the browser forget the cookie."""
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer
