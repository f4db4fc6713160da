"""What `beholder doctor` asks of a server: whether it answers, to whom, and whether jobs run."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from beholder import __version__
from beholder.errors import BeholderError, ServiceUnavailable
from cli.checks import Check

if TYPE_CHECKING:
    from cli.context import Context


def server_checks(context: "Context") -> Iterator[Check]:
    """A line each; none after the first that the others need."""
    try:
        desk = context.remote_desk
        about = desk.server
    except BeholderError as error:
        yield Check("server", False, str(error), needed=True)
        return
    yield Check("server", True, f"{desk.url} answers: Beholder {about['version']}", needed=True)
    if about["version"] != __version__:
        yield Check("version", True, f"{__version__} here: what one of them lacks is said then.")
    caller = about["caller"]
    who = f"{caller['name']!r}: it" if caller["name"] else "the server asks for none: whoever asks"
    may = {"read": "look", "submit": "look and queue", "admin": "do everything"}
    yield Check("token", True, f"{who} may {may.get(caller['scope'], caller['scope'])}")
    try:
        desk.insist_on_ready()
    except ServiceUnavailable as error:
        yield Check("service", False, str(error))
    else:
        yield Check("service", True, "database, queue, store and workers answer")
    yield _workers(about["workers"])


def _workers(alive: list[dict[str, Any]]) -> Check:
    if not alive:
        return Check("workers", False, "none heard of: on the server, start `beholder worker`.")
    if paused := next((worker["paused"] for worker in alive if worker["paused"]), None):
        return Check("workers", False, f"{len(alive)} alive, paused: {paused}")
    names = ", ".join(worker["name"] for worker in alive[:5])
    return Check("workers", True, f"{len(alive)} alive: {names}")
