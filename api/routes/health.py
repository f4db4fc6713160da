"""`/healthz`, `/readyz` and `/metrics`, for those who look after the server."""

from collections.abc import Callable, Iterator

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from api.examples import example
from api.metrics import exposition
from api.problems import NotReady
from api.routes.jobs import Opened
from api.services import Services
from beholder.alive import Locks
from beholder.errors import BeholderError, NotFound, StorageFull
from beholder.jobs.pauses import has_paused
from beholder.jobs.schema import check
from beholder.jobs.workers import WorkerView, live_workers
from beholder.tokens import STRANGER

router = APIRouter(tags=["health"])
_SILENT_S = 15.0
_TOLD = "they were told to; `beholder workers resume NAME` lets one go on."


@router.get(
    "/healthz", summary="Does this process answer?", responses={200: example({"status": "ok"})}
)
async def healthz() -> JSONResponse:
    """Asks nothing else, and waits for no thread."""
    return JSONResponse({"status": "ok"})


@router.get(
    "/readyz",
    summary="Can jobs be queued and run?",
    responses={
        200: example(
            {"status": "ok", "database": "ok", "queue": "ok", "store": "ok", "workers": 1}
        ),
    },
)
def readyz(request: Request, opened: Opened) -> JSONResponse:
    """503 with what fails: the database, the queue, the store, no worker alive, or all paused.

    Why, which names places and jobs, is for those who may look: without their token, only which.
    """
    stranger = request.state.caller == STRANGER
    failures = dict(_failures(opened))
    if failures and stranger:
        raise NotReady(f"not ready: {', '.join(failures)}. With a token this says why.")
    if failures:
        raise NotReady(" ".join(failures.values()))
    parts: dict[str, str | int] = dict.fromkeys(("status", "database", "queue", "store"), "ok")
    if not stranger:
        parts["workers"] = len(alive_workers(opened))
    return JSONResponse(parts)


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    summary="Prometheus metrics",
    responses={200: {"content": {"text/plain": {}}, "description": "OK"}},
)
def metrics(opened: Opened) -> Response:
    """Jobs and items by state, what waits for which device, workers by state, their work."""
    return Response(exposition(opened), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _failures(opened: Services) -> Iterator[tuple[str, str]]:
    """Which part fails, and why."""
    checks: dict[str, Callable[[Services], object]] = {
        "database": _database,
        "queue": _queue,
        "store": _store,
        "workers": _workers,
    }
    for part, ask in checks.items():
        try:
            ask(opened)
        except BeholderError as error:
            yield part, str(error)


def _database(opened: Services) -> None:
    check(opened.db)


def _queue(opened: Services) -> None:
    opened.queue.length()


def _store(opened: Services) -> None:
    opened.store.exists("pictures")


def _workers(opened: Services) -> None:
    alive = alive_workers(opened)
    if not alive:
        within_s = _patience(opened)
        raise NotFound(f"no worker was heard of in {within_s:g} s: start `beholder worker`.")
    reasons = [why_paused(worker) for worker in alive]
    if all(reasons):
        reason = next((one for one in reasons if one != _TOLD), _TOLD)
        raise StorageFull(f"workers are paused: {reason}")


def why_paused(worker: WorkerView) -> str | None:
    """Why a worker takes nothing, by itself or because it was told so; None if it does."""
    if has_paused(worker.paused):
        return worker.paused
    return _TOLD if worker.told else None


def alive_workers(opened: Services) -> list[WorkerView]:
    """The workers heard of lately, less those of this machine that have surely ended."""
    is_dead = Locks(opened.settings.home).is_dead
    return live_workers(opened.db, within_s=_patience(opened), is_dead=is_dead)


def _patience(opened: Services) -> float:
    return max(_SILENT_S, 4 * opened.settings.sweep_s)
