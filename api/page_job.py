"""One job's page, and what can be done to it: cancel, retry, delete."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from api import page_links as links
from api.page_dream import dream_values
from api.page_facts import facts
from api.page_jobs import job_spec
from api.page_render import PageRoute, render, see_other
from api.page_study import study_values
from api.page_words import ask_words, command
from api.routes.results import MAX_POSITION
from api.services import Services, services
from beholder.evidence.names import Role
from beholder.jobs.completion import completed
from beholder.jobs.control import retryable
from beholder.jobs.queries import get_job, items
from beholder.jobs.views import JobView
from beholder.specs import DreamSpec, Spec

router = APIRouter(route_class=PageRoute, include_in_schema=False)

SHOWN_FAILURES = 20
Opened = Annotated[Services, Depends(services)]
Position = Annotated[int, Query(ge=0, le=MAX_POSITION)]


@router.get("/jobs/{job_id}", response_model=None)
def job(
    request: Request,
    opened: Opened,
    job_id: str,
    item: Position | None = None,
    step: Position | None = None,
    start: Position = 0,
) -> HTMLResponse | RedirectResponse:
    """A dream's or a study's page. item, step: what is looked at; start: the first column."""
    view = get_job(opened.db, job_id)
    if view.id != job_id:
        return see_other(f"/jobs/{view.id}")
    spec = job_spec(view)
    failed = items(opened.db, view.id, state="failed", limit=SHOWN_FAILURES) if view.failed else ()
    values = (
        dream_values(opened, view, spec, item=item, step=step, start=start)
        if isinstance(spec, DreamSpec)
        else study_values(opened, view)
    )
    return render(
        request,
        f"{view.kind}.html",
        job=view,
        asks=ask_words(spec),
        through=completed(opened.db, view),
        can_retry=view.id in retryable(opened.db, [view]),
        zip=links.zip_file(view.id),
        network_path=links.network_path(view),
        facts=facts(spec),
        command=command(
            spec,
            view.name,
            view.priority,
            device=view.device,
            pictures=_has_pictures(view, spec),
            others=_other_roles(opened, view),
        ),
        failures=[one for one in failed if view.error is None or one.error != view.error],
        **values,
    )


def _has_pictures(job: JobView, spec: Spec) -> bool:
    """Whether a job began from anything but noise."""
    return not isinstance(spec, DreamSpec) or job.total > spec.noise * spec.passes


def _other_roles(opened: Services, job: JobView) -> list[Role]:
    """What a study's pictures are besides its targets."""
    roles: tuple[Role, ...] = ("sibling", "control") if job.kind == "study" else ()
    return [role for role in roles if any(items(opened.db, job.id, role=role, limit=1))]
