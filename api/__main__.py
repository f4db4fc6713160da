"""`python -m api`: serve the API and the page on BEHOLDER_API_HOST and BEHOLDER_API_PORT."""

import socket
import sys

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from beholder import traces
from beholder.errors import BeholderError
from beholder.jobs.schema import check_url, create_if_empty
from beholder.logs import fail, set_up
from beholder.settings import Settings, read_settings
from beholder.store import Store
from beholder.urls import insist_on_redis


def main() -> None:
    """Serve until stopped; SIGTERM ends it after the requests in hand."""
    settings = read_settings()
    set_up(settings)
    traces.set_up("beholder-api")
    check_set_up(settings)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    server = _Server(config, app)
    server.run()
    if not server.started:
        sys.exit(1)


class _Server(uvicorn.Server):
    """Ends the streams of events before it waits for requests in hand, as they have no end."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop serving."""
        await self._app.state.services.live.close()
        await super().shutdown(sockets)


def check_set_up(settings: Settings) -> None:
    """Raise BeholderError, in one line and before the server starts, where it could not serve."""
    insist_on_redis(settings.broker)
    Store.open(settings.store)
    if settings.database_url is None:
        create_if_empty(settings.database)
    check_url(settings.database)


if __name__ == "__main__":
    try:
        main()
    except BeholderError as error:
        fail("api", error)
