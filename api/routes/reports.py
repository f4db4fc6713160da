"""`/v1/studies/{id}/report`: what a sound study showed, as a page that works anywhere."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api.problems import responses
from api.routes.jobs import Job, Opened

router = APIRouter(prefix="/v1/studies", tags=["studies"])


@router.get(
    "/{job_id}/report",
    response_class=HTMLResponse,
    summary="A sound study's report",
    responses={
        200: {"description": "One HTML file, which asks for nothing else"},
        **responses(404, 409, 501),
    },
)
async def report(found: Job, opened: Opened) -> HTMLResponse:
    """Figures, tables, the method and the record. 409 while the study has not concluded."""
    return await opened.reports.answer(found)
