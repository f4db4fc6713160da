"""`POST /v1/dreams` and `POST /v1/studies`: a new job from pictures, hashes, or both."""

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from api.examples import JOB
from api.intake import read_submission, submit
from api.problems import responses
from api.queueing import wake_workers
from api.schemas import EXAMPLE_SHA256, NewDream, NewStudy
from api.services import Services, services
from beholder.jobs.queries import get_job
from beholder.jobs.repeats import Repeatable
from beholder.jobs.views import JobView
from beholder.protocol import LINES
from beholder.specs import JobKind
from beholder.texts import MAX_NAME
from beholder.tokens import Caller

router = APIRouter(prefix="/v1", tags=["jobs"])
_MADE: dict[int | str, dict[str, Any]] = {
    200: {"model": JobView, "description": "The job that the same request made before"},
    201: {"description": "The new job", "content": {"application/json": {"example": JOB}}},
    **responses(408, 409, 413, 507),
}
_FILE = {"type": "string", "format": "binary"}
_FILES = {"type": "array", "items": _FILE, "description": "Files, or hashes of stored pictures."}

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Repeating a request with the same key and content makes no second job.",
        examples=["9f1c2c5e-kelpies"],
    ),
]


def _body(model: type[NewDream] | type[NewStudy], *roles: str, spec: Any) -> dict[str, Any]:
    """Both forms of a request, for OpenAPI; they are read as they stream in."""
    document = {"name": "kelpies", "spec": spec, roles[0]: [EXAMPLE_SHA256]}
    fields: dict[str, Any] = {
        "spec": {"type": "string", "contentMediaType": "application/json", "example": "{}"},
        "name": {"type": "string", "maxLength": MAX_NAME},
        "webhook": {"type": "string", "contentMediaType": "application/json"},
        **dict.fromkeys(roles, _FILES),
    }
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schema, "example": document},
                "multipart/form-data": {"schema": {"type": "object", "properties": fields}},
                LINES: {"schema": {"type": "string"}},
            },
        }
    }


@router.post(
    "/dreams",
    status_code=201,
    response_model=JobView,
    responses=_MADE,
    summary="Queue dreams: one for each picture and layer",
    openapi_extra=_body(NewDream, "pictures", spec={"layers": [30, 35], "steps": 30}),
)
async def dreams(
    request: Request,
    tasks: BackgroundTasks,
    opened: Annotated[Services, Depends(services)],
    key: Key = None,
) -> Response:
    """Gradient ascent on whole layers, or on channels of them, from pictures or noise."""
    return await _submit(request, tasks, opened, "dream", key)


@router.post(
    "/studies",
    status_code=201,
    response_model=JobView,
    responses=_MADE,
    summary="Queue an ablation study of target pictures, with controls",
    openapi_extra=_body(NewStudy, "targets", "controls", spec={"threshold": 4}),
)
async def studies(
    request: Request,
    tasks: BackgroundTasks,
    opened: Annotated[Services, Depends(services)],
    key: Key = None,
) -> Response:
    """Find the channels that the targets share, zero them, classify everything again."""
    return await _submit(request, tasks, opened, "study", key)


async def _submit(
    request: Request, tasks: BackgroundTasks, opened: Services, kind: JobKind, key: str | None
) -> Response:
    caller: Caller = request.state.caller
    repeatable = Repeatable(key, caller.name) if key else None
    submission = await read_submission(request, opened, kind)
    with submission.entries:
        created = await run_in_threadpool(submit, opened, submission, repeatable)
    job = await run_in_threadpool(get_job, opened.db, created.id)
    if not created.repeated:
        tasks.add_task(wake_workers, opened)
    return JSONResponse(
        job.row(),
        200 if created.repeated else 201,
        {"Location": f"/v1/jobs/{created.id}"},
        background=tasks,
    )
