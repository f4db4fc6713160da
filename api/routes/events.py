"""`GET /v1/jobs/{id}/events`: a job's progress as server-sent events."""

import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse

from api.examples import PROGRESS
from api.live import Event
from api.problems import responses
from api.routes.jobs import JobId, Opened

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
RETRY_MS = 2000
_STREAM = f"id: 3f9a01-12\nevent: progress\ndata: {json.dumps(PROGRESS)}\n\n"
# As readers of OpenAPI take it: of each event, not of the stream.
_EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string", "enum": ["progress", "end"]},
        "data": {"type": "string", "description": "JSON: the job's whole state"},
        "retry": {"type": "integer"},
    },
}


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    summary="Follow a job (server-sent events)",
    responses={
        200: {
            "description": "Events `progress`, and `end` as the last; each holds the whole state",
            "content": {"text/event-stream": {"schema": _EVENT, "example": _STREAM}},
        },
        204: {"description": "Last-Event-ID was the last there is; don't connect again"},
        **responses(404),
    },
)
async def events(
    job_id: JobId,
    opened: Opened,
    last_event_id: Annotated[str | None, Header(max_length=100)] = None,
) -> Response:
    """State, counts, rate (items a second), time left, and the latest pictures.

    Begins with how the job is now, or, with Last-Event-ID, with what followed that. A comment
    comes every ten seconds when nothing else does. Ends after the event `end`.
    """
    if await opened.live.has_ended(job_id, last_event_id):
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    stream = _stream(opened.live.watch(job_id, last_event_id))
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _stream(events: AsyncIterator[Event | None]) -> AsyncIterator[str]:
    yield f"retry: {RETRY_MS}\n\n"
    async for event in events:
        if event is None:
            yield ": still here\n\n"
        else:
            data = json.dumps(event.data, ensure_ascii=False)
            yield f"id: {event.id}\nevent: {event.name}\ndata: {data}\n\n"
