"""`python -m worker.monitor`: Flower on BEHOLDER_MONITOR_HOST and _PORT, to watch the queue.

Sees workers that run with BEHOLDER_EVENTS=true. Jobs, whom the database knows, are on the page.
"""

import importlib.util
import os

from beholder.errors import BeholderError, InvalidInput, NotInstalled
from beholder.extras import install
from beholder.logs import fail, set_up
from beholder.settings import Settings, read_settings
from worker.app import make_app
from worker.transport import use_careful_transport


def main() -> None:
    """Serve until stopped."""
    settings = read_settings()
    set_up(settings)
    check_set_up(settings)
    use_careful_transport()
    assert settings.monitor_auth is not None
    # Not as an option, which everybody on the machine could read.
    os.environ["FLOWER_BASIC_AUTH"] = settings.monitor_auth.get_secret_value()
    make_app(settings.broker).start(
        [
            "--quiet",
            "flower",
            f"--address={settings.monitor_host}",
            f"--port={settings.monitor_port}",
            "--enable-events=false",  # it would ask by remote control, which workers do not hear
        ]
    )


def check_set_up(settings: Settings) -> None:
    """Raise BeholderError where it could not serve, or anybody could look."""
    if importlib.util.find_spec("flower") is None:
        raise NotInstalled(f"no Flower here: {install('monitor')}.")
    if settings.monitor_auth is None or ":" not in settings.monitor_auth.get_secret_value():
        raise InvalidInput("set BEHOLDER_MONITOR_AUTH to USER:PASSWORD, or ..._AUTH_FILE.")


if __name__ == "__main__":
    try:
        main()
    except BeholderError as error:
        fail("monitor", error)
