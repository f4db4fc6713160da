"""`/v1/workers`: who runs what; pause, resume and drain a worker."""

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse

from api.examples import WORKER, example
from api.problems import responses
from api.routes.jobs import Opened
from api.services import Services
from beholder.alive import Locks
from beholder.jobs.fleet import fleet, tell
from beholder.jobs.service_models import Order

router = APIRouter(prefix="/v1/workers", tags=["workers"])
Name = Annotated[
    str,
    Path(
        description="A worker's name, its beginning, or a host: all on it.",
        examples=["rack3-4711-9f86d0"],
        min_length=1,
        max_length=200,
    ),
]
_TOLD = {200: example({"workers": ["rack3-4711-9f86d0"]}), **responses(404, 409)}


@router.get(
    "", summary="Who runs what, on which device", responses={200: example({"workers": [WORKER]})}
)
def workers(opened: Opened) -> JSONResponse:
    """Those heard of in the last minute, by name."""
    found = fleet(opened.db, is_dead=Locks(opened.settings.home).is_dead)
    return JSONResponse({"workers": [worker.row() for worker in found]})


@router.post("/{name}/pause", summary="Finish what is in hand, take nothing more", responses=_TOLD)
def pause(name: Name, opened: Opened) -> JSONResponse:
    """Until it is resumed. The worker hears of it within seconds."""
    return _tell(opened, name, "pause")


@router.post("/{name}/resume", summary="Let a paused worker go on", responses=_TOLD)
def resume(name: Name, opened: Opened) -> JSONResponse:
    """409 for one that drains."""
    return _tell(opened, name, None)


@router.post("/{name}/drain", summary="Finish what is in hand, and end", responses=_TOLD)
def drain(name: Name, opened: Opened) -> JSONResponse:
    """It takes nothing more, and can't be called back."""
    return _tell(opened, name, "drain")


def _tell(opened: Services, name: str, order: Order | None) -> JSONResponse:
    is_dead = Locks(opened.settings.home).is_dead
    return JSONResponse({"workers": tell(opened.db, name, order, is_dead=is_dead)})
