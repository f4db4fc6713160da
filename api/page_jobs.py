"""The list of jobs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from api import page_links as links
from api.page_render import PageRoute, render
from api.page_words import ask_words
from api.services import Services, services
from beholder.errors import InvalidInput
from beholder.jobs.cell_queries import cells
from beholder.jobs.completion import completed
from beholder.jobs.control import retryable
from beholder.jobs.queries import list_jobs
from beholder.jobs.views import JobView
from beholder.specs import DreamSpec, Spec, spec_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PAGE = 25
THUMBS = 4
KINDS = ("dream", "study")
STATES = (
    ("", "All"),
    ("queued", "Queued"),
    ("running", "Running"),
    ("done", "Done"),
    ("failed", "Failed"),
    ("cancelled", "Cancelled"),
)


@dataclass(frozen=True)
class Row:
    """A job in the list. thumbs: addresses, empty where there is no picture (yet)."""

    job: JobView
    asks: str
    network: str
    through: float
    thumbs: tuple[str, ...]
    can_retry: bool


@router.get("/")
def jobs(
    request: Request,
    opened: Annotated[Services, Depends(services)],
    state: str = "",
    kind: str = "",
    q: Annotated[str, Query(max_length=200)] = "",
    before: str = "",
) -> HTMLResponse:
    """The newest jobs, by state, kind, and words of their names."""
    if kind and kind not in KINDS:
        raise InvalidInput(f"no kind {kind!r}: kinds are dream and study.")
    found = list_jobs(
        opened.db,
        state=state or None,
        kind=kind or None,
        words=q.strip() or None,
        limit=PAGE + 1,
        before=before or None,
    )
    shown = found[:PAGE]
    again = retryable(opened.db, shown)
    address = _addresses(state, kind, q)
    return render(
        request,
        "jobs.html",
        rows=[_row(opened, job, job.id in again) for job in shown],
        states=STATES,
        state=state,
        kind=kind,
        q=q,
        filtered=bool(state or kind or q or before),
        address=address,
        older=address(before=shown[-1].cursor) if len(found) > PAGE else "",
    )


def job_spec(job: JobView) -> Spec:
    """What a job asks for."""
    return spec_of("dream" if job.kind == "dream" else "study", job.spec)


def _addresses(state: str, kind: str, q: str) -> Callable[..., str]:
    def address(**changes: str) -> str:
        values = {"state": state, "kind": kind, "q": q, **changes}
        given = {name: value for name, value in values.items() if value}
        return f"/?{urlencode(given)}" if given else "/"

    return address


def _row(opened: Services, job: JobView, can_retry: bool) -> Row:
    spec = job_spec(job)
    return Row(
        job,
        ask_words(spec),
        links.network_word(job),
        completed(opened.db, job),
        _thumbs(opened, job, spec),
        can_retry,
    )


def _thumbs(opened: Services, job: JobView, spec: Spec) -> tuple[str, ...]:
    """Dreams spread over the job's layers and pictures, or a study's first pictures."""
    count = min(THUMBS, job.total)
    spread = job.total if isinstance(spec, DreamSpec) else count
    wanted = sorted({(2 * place + 1) * spread // (2 * count) for place in range(count)})
    step = spec.steps if isinstance(spec, DreamSpec) else 0
    urls = [
        links.result(job.id, cell.position, step, thumb=links.THUMB)
        if cell.file_sha256
        else links.picture(cell.picture_sha256, thumb=links.THUMB)
        for cell in cells(opened.db, job, wanted, step=step)
    ]
    return tuple(urls + [""] * (count - len(urls)))
