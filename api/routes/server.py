"""`GET /v1/server`: which server this is, what it takes, and as whom it knows the caller."""

from dataclasses import asdict

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.examples import SERVER, example
from api.routes.health import alive_workers, why_paused
from api.routes.jobs import Opened
from beholder import __version__
from beholder.networks import WEIGHT_SUFFIXES
from beholder.protocol import API_LEVEL
from beholder.tokens import Caller

router = APIRouter(prefix="/v1", tags=["access"])


@router.get(
    "/server",
    summary="Which server is this, and whom does it see?",
    responses={200: example(SERVER)},
)
def server(request: Request, opened: Opened) -> JSONResponse:
    """`network` is the default one, null where that is a file of the server's. `limits`: of a
    picture. `workers`: of those that are alive, the device, and why one is paused.
    """
    caller: Caller = request.state.caller
    settings = opened.settings
    named = not settings.network.lower().endswith(WEIGHT_SUFFIXES)
    return JSONResponse(
        {
            "version": __version__,
            "api": API_LEVEL,
            "caller": asdict(caller),
            "network": settings.network if named else None,
            "limits": {"bytes": settings.upload_file_bytes, "pixels": settings.max_pixels},
            "workers": [
                {
                    "name": worker.name,
                    "device": worker.device,
                    "paused": why_paused(worker),
                }
                for worker in alive_workers(opened)
            ],
        }
    )
