"""`python -m api`: serve the API and the page on BEHOLDER_API_HOST and BEHOLDER_API_PORT."""

import uvicorn

from api.app import create_app
from beholder import traces
from beholder.errors import BeholderError
from beholder.jobs.schema import check_url, create_if_empty
from beholder.logs import fail, set_up
from beholder.settings import Settings, read_settings


def main() -> None:
    """Serve until stopped; SIGTERM ends it after the requests in hand."""
    settings = read_settings()
    set_up(settings)
    traces.set_up("beholder-api")
    check_set_up(settings)
    uvicorn.run(
        create_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )


def check_set_up(settings: Settings) -> None:
    """Raise BeholderError, in one line and before the server starts, where it could not serve."""
    if settings.database_url is None:
        create_if_empty(settings.database)
    check_url(settings.database)


if __name__ == "__main__":
    try:
        main()
    except BeholderError as error:
        fail("api", error)
