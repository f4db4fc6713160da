"""What the page's buttons do to a job. Each goes back to where it was pressed."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.background import BackgroundTask

from api.page_render import PageRoute, render, see_other
from api.problems import Forbidden
from api.queueing import wake_workers
from api.routes.session import forget_token
from api.services import Services, services
from beholder.jobs import control
from beholder.tokens import Caller
from beholder.upkeep.retention import remove_job

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Opened = Annotated[Services, Depends(services)]


@router.post("/jobs/{job_id}/cancel", response_model=None)
def cancel(request: Request, opened: Opened, job_id: str) -> RedirectResponse:
    """End a job now; what is done stays."""
    control.cancel(opened.db, job_id)
    return see_other(_back(request, job_id))


@router.post("/jobs/{job_id}/retry", response_model=None)
def retry(request: Request, opened: Opened, job_id: str) -> RedirectResponse:
    """Run again what failed or was cancelled."""
    control.retry(opened.db, job_id)
    answer = see_other(_back(request, job_id))
    answer.background = BackgroundTask(wake_workers, opened)
    return answer


@router.post("/jobs/{job_id}/delete", response_model=None)
def delete(request: Request, opened: Opened, job_id: str) -> RedirectResponse:
    """Delete a job that has ended, with its files."""
    caller: Caller = request.state.caller
    if not caller.may("admin"):
        raise Forbidden(f"the token {caller.name!r} may {caller.scope}; deleting needs admin.")
    remove_job(opened.db, opened.store, job_id)
    return see_other("/")


@router.get("/sign-in")
def sign_in(request: Request) -> HTMLResponse:
    """Where a browser without a token is sent."""
    wanted = request.query_params.get("next", "/")
    return render(request, "sign_in.html", wanted=wanted, problem="")


@router.post("/sign-out", response_model=None)
def sign_out() -> Response:
    """Forget the token, and show where another is entered."""
    return forget_token(see_other("/sign-in"))


def _back(request: Request, job_id: str) -> str:
    """The list when the button was pressed there, else the job's own page."""
    try:
        came_from = urlsplit(request.headers.get("referer", ""))
    except ValueError:  # such as http://[
        return f"/jobs/{job_id}"
    if came_from.path == "/":
        return f"/?{came_from.query}" if came_from.query else "/"
    return f"/jobs/{job_id}"
