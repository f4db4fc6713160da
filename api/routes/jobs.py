"""`/v1/jobs`: list, show, items; cancel, retry, delete."""

from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import APIRouter, BackgroundTasks, Depends, Path, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.examples import ITEM, JOB, OVERVIEW, example
from api.problems import responses
from api.queueing import wake_workers
from api.services import Services, services
from beholder.jobs import control
from beholder.jobs.features import still_open
from beholder.jobs.overview import overview_of
from beholder.jobs.queries import get_job, items, list_jobs
from beholder.jobs.views import JobView
from beholder.upkeep.retention import keep, remove_job

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

State = Literal["queued", "running", "done", "failed", "cancelled"]
Kind = Literal["dream", "study"]
MAX_PAGE = 500
MAX_ASKED = 1_000  # jobs that one question is about

JobId = Annotated[
    str,
    Path(
        description="A job's id.",
        examples=["k3v8m2q0zt"],
        min_length=1,
        max_length=16,
        pattern="^[0-9a-z]+$",
    ),
]
Opened = Annotated[Services, Depends(services)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="At most this many on a page.")]


def job_of(job_id: JobId, opened: Opened) -> JobView:
    """The job in the path: its id, or a beginning that is its alone. A dependency."""
    return get_job(opened.db, job_id)


Job = Annotated[JobView, Depends(job_of)]


class Kept(BaseModel):
    """Whether to keep it."""

    kept: bool = True


class Ids(BaseModel):
    """Jobs by their whole ids."""

    jobs: Annotated[
        list[Annotated[str, Field(pattern="^[0-9a-z]{1,16}$")]], Field(max_length=MAX_ASKED)
    ]


@router.get(
    "",
    summary="List jobs, newest first",
    responses={200: example({"jobs": [JOB], "next": None})},
)
def jobs(
    opened: Opened,
    state: State | None = None,
    kind: Kind | None = None,
    q: Annotated[
        str | None, Query(max_length=200, description="Part of the name, or the id's beginning.")
    ] = None,
    kept: Annotated[bool, Query(description="Only those kept whatever their age.")] = False,
    limit: Limit = 50,
    before: Annotated[
        str | None, Query(max_length=60, description="`next` of the page before this one.")
    ] = None,
) -> JSONResponse:
    """A page of jobs; `next` is what to give as `before` for the following page, or null."""
    page = list_jobs(
        opened.db,
        state=state,
        kind=kind,
        words=q,
        kept=kept,
        limit=limit + 1,
        before=before,
    )
    more = page[limit - 1].cursor if len(page) > limit else None
    return JSONResponse({"jobs": [job.row() for job in page[:limit]], "next": more})


@router.get(
    "/by-name",
    response_model=JobView,
    summary="Find a job by its name or id",
    responses={200: example(JOB), **responses(404)},
)
def by_name(
    opened: Opened,
    name: Annotated[str, Query(max_length=500, examples=["kelpies"])],
) -> JSONResponse:
    """An id, the beginning of one, or the name that one job alone has. 422 if several fit."""
    return JSONResponse(get_job(opened.db, name).row())


@router.post(
    "/open",
    summary="How many of these jobs have not ended?",
    responses={200: example({"open": 1})},
)
def count_open(asked: Ids, opened: Opened) -> JSONResponse:
    """For a client that waits for many jobs at once. Those that are not here have ended."""
    return JSONResponse({"open": still_open(opened.db, asked.jobs)})


@router.get(
    "/{job_id}",
    response_model=JobView,
    summary="Show a job",
    responses={200: example(JOB), **responses(404)},
)
def job(found: Job) -> JSONResponse:
    """Its state, its counts by state, what it asks. The id's beginning will do."""
    return JSONResponse(found.row())


@router.get(
    "/{job_id}/items",
    summary="A job's items, by position",
    responses={200: example({"items": [ITEM], "next": None}), **responses(404)},
)
def job_items(
    found: Job,
    opened: Opened,
    state: State | None = None,
    after: Annotated[
        int, Query(ge=-1, le=2**31 - 1, description="`next` of the page before.")
    ] = -1,
    limit: Limit = 100,
) -> JSONResponse:
    """Items with their files and verdicts. `next` is what to give as `after`, or null."""
    page = list(
        islice(items(opened.db, found.id, state=state, after=after, limit=limit + 1), limit + 1)
    )
    rows: list[dict[str, Any]] = [item.row() for item in page[:limit]]
    more = rows[-1]["position"] if len(page) > limit else None
    return JSONResponse({"items": rows, "next": more})


@router.get(
    "/{job_id}/overview",
    summary="What came of a job as a whole",
    responses={200: example(OVERVIEW), **responses(404)},
)
def overview(found: Job, opened: Opened) -> JSONResponse:
    """Precisions and silent dreams; of a study the blinded channels, and how many labels held."""
    return JSONResponse(overview_of(opened.db, opened.store, found).row())


@router.put(
    "/{job_id}/kept",
    response_model=JobView,
    summary="Keep a job whatever its age, or no longer",
    responses={200: example(JOB), **responses(404)},
)
def keep_job(found: Job, asked: Kept, opened: Opened) -> JSONResponse:
    """A kept job is not removed for its age."""
    keep(opened.db, found.id, kept=asked.kept)
    return JSONResponse(found.row())


@router.post(
    "/{job_id}/cancel",
    response_model=JobView,
    summary="End a job now; what is done stays",
    responses={200: example({**JOB, "state": "cancelled"}), **responses(404, 409)},
)
def cancel(found: Job, opened: Opened) -> JSONResponse:
    """Workers hear of it within seconds. 409 for a job that has ended."""
    control.cancel(opened.db, found.id)
    return JSONResponse(get_job(opened.db, found.id).row())


@router.post(
    "/{job_id}/retry",
    response_model=JobView,
    summary="Run again what failed or was cancelled",
    responses={200: example({**JOB, "state": "queued"}), **responses(404, 409)},
)
def retry(found: Job, opened: Opened, tasks: BackgroundTasks) -> JSONResponse:
    """What is done stays; `retried` items run again. 409 for a job that still runs, or has none."""
    retried = control.retry(opened.db, found.id)
    tasks.add_task(wake_workers, opened)
    row = {**get_job(opened.db, found.id).row(), "retried": retried.items}
    return JSONResponse(row, background=tasks)


@router.delete(
    "/{job_id}",
    status_code=204,
    response_class=Response,
    summary="Delete a job that has ended, with its files",
    responses=responses(404, 409),
)
def delete(job_id: JobId, opened: Opened) -> Response:
    """Its input pictures stay, since other jobs may use them. 409 while it runs: cancel it first.

    The id has to be whole. Anyone who asks twice gets 404 the second time.
    """
    remove_job(opened.db, opened.store, job_id)
    return Response(status_code=204)
