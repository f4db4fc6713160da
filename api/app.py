"""The application: `create_app(settings)`. Nothing is opened before it starts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from api import pages
from api.services import Services
from beholder import __version__
from beholder.settings import Settings

STATIC = Path(__file__).parent / "web" / "static"


def create_app(settings: Settings) -> FastAPI:
    """The API and the page on these settings."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.services = Services.open(settings)
        try:
            yield
        finally:
            await app.state.services.close()

    app = FastAPI(
        title="Beholder", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.include_router(pages.router)
    if STATIC.is_dir():
        app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
