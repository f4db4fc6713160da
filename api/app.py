"""The application: `create_app(settings)`. Nothing is opened before it starts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from api import pages, problems
from api.guard import Guard
from api.page_problems import PageProblems
from api.page_render import missing_page
from api.routes import (
    channel_dreams,
    channels,
    events,
    health,
    jobs,
    networks,
    pictures,
    records,
    reports,
    results,
    server,
    session,
    studies,
    submit,
    uploads,
    workers,
)
from api.services import Services
from beholder import __version__
from beholder.heap import give_back
from beholder.settings import Settings
from beholder.tokens import check_bind

# In the order of the documentation; uploads and results have paths that jobs would not take.
ROUTES = (
    submit, jobs, events, results, channels, channel_dreams, records, studies, reports, pictures,
    uploads, networks, workers, server, session, health,
)  # fmt: skip
ANYWHERE = (401, 403, 421, 422, 500, 503)  # what any route may answer
TAGS = [
    {"name": "jobs", "description": "Queue, list, follow, cancel, retry, delete."},
    {"name": "results", "description": "Result pictures, and all of a job as a zip."},
    {"name": "studies", "description": "Channels, verdicts and reports."},
    {"name": "pictures", "description": "Input pictures: sent ahead, asked for, shown."},
    {"name": "networks", "description": "Layers and networks."},
    {"name": "workers", "description": "Who runs what; pause, resume, drain."},
    {"name": "access", "description": "Which server this is; signing a browser in and out."},
    {"name": "health", "description": "For those who look after the server."},
]
GIVE_BACK_S = 30.0
STATIC = Path(__file__).parent / "web" / "static"


async def _stay_small() -> None:
    """Give freed memory back, of which ever more would lie between thumbnails that are kept."""
    while True:
        await asyncio.sleep(GIVE_BACK_S)
        await run_in_threadpool(give_back)


def create_app(settings: Settings) -> FastAPI:
    """The API and the page on these settings. Raises InvalidInput where others could get in."""
    check_bind(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.services = Services.open(settings)
        app.state.services.sender.start()
        frugal = asyncio.create_task(_stay_small(), name="heap")
        try:
            yield
        finally:
            frugal.cancel()
            await app.state.services.close()

    app = FastAPI(
        title="Beholder",
        summary="Deep dreams and ablation studies of an image classifier, as batch jobs.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # both would load scripts from elsewhere
        redoc_url=None,
        openapi_tags=TAGS,
    )
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(PageProblems)
    problems.install(app, missing_page)
    for routes in ROUTES:
        app.include_router(routes.router, responses=problems.responses(*ANYWHERE))
    app.include_router(pages.router)
    if STATIC.is_dir():
        app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
