"""`beholder doctor`: what is set up, what answers, what is missing, and what to do about it.

Each check is a function that gives a `Check`. Nothing is changed, and torch is never imported.
"""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from beholder.devices import gpu_cards, insist_on_name
from beholder.errors import BeholderError, StoreMissing
from beholder.extras import install
from beholder.urls import without_secrets
from cli.checks import Check, silence_of_redis
from cli.context import Context
from cli.desk.local import WORKER_SILENCE_S
from cli.output import JsonOption, console, print_json

if TYPE_CHECKING:
    from beholder.jobs.database import Database
    from beholder.settings import Settings
    from beholder.store import Store

EXIT_MISSING = 2
LOW_SPACE_BYTES = 2 * 2**30
_GIB = 2**30


def doctor(json: JsonOption = False) -> None:
    """Say what is set up, reachable and missing. Exit code 2 when something needed is missing."""
    context = Context()
    checks = list(_checks(context))
    if json:
        print_json([asdict(check) for check in checks])
    else:
        for check in checks:
            _print(check)
    if any(check.needed and not check.ok for check in checks):
        raise typer.Exit(EXIT_MISSING)


def _checks(context: Context) -> Iterator[Check]:
    """Of this machine; with a server named, of this machine as its client, and of the server."""
    settings = context.settings
    if settings.server is None:
        yield from (_guarded(check, settings) for check in CHECKS)
        return
    from cli.desk.checks import server_checks

    yield _guarded(_check_python, settings)
    yield from server_checks(context)


def _print(check: Check) -> None:
    mark, style = ("✓", "green") if check.ok else ("✗", "red" if check.needed else "yellow")
    out = console()
    out.print(mark, style=style, end=" ")
    out.print(f"{check.name:12}{check.detail}", markup=False, highlight=False, soft_wrap=True)


def _guarded(check: Callable[["Settings"], Check], settings: "Settings") -> Check:
    """A check that itself runs into trouble says so and leaves the others alone."""
    try:
        return check(settings)
    except (BeholderError, OSError) as error:
        name = check.__name__.removeprefix("_check_").replace("_", " ")
        return Check(name, False, str(error), needed=True)


def _check_python(settings: "Settings") -> Check:
    return Check("python", sys.version_info >= (3, 11), platform.python_version(), needed=True)


def _check_settings(settings: "Settings") -> Check:
    from beholder.settings import unknown_settings
    from beholder.tokens import Tokens

    Tokens(settings.api_tokens.get_secret_value())  # raises for what is none
    unknown = " ".join(unknown_settings())
    named = ", ".join(sorted(name for name in os.environ if name.startswith("BEHOLDER_")))
    return Check("settings", not unknown, unknown or f"set here: {named or 'none'}")


def _check_torch(settings: "Settings") -> Check:
    missing = [name for name in ("torch", "torchvision") if not _installed(name)]
    if missing:
        detail = f"{' and '.join(missing)} not installed here: queueing and looking at results "
        return Check(
            "torch",
            False,
            detail + f"work; to run jobs, {install('worker')}.",
        )
    return Check("torch", True, f"torch {_version('torch')}, torchvision {_version('torchvision')}")


def _check_gpu(settings: "Settings") -> Check:
    insist_on_name(settings.device)
    detail = ", ".join(gpu_cards()) or "none seen: jobs run on the CPU."
    return Check("gpu", True, f"{detail} (BEHOLDER_DEVICE={settings.device})")


def _check_data_folder(settings: "Settings") -> Check:
    home = settings.home.absolute()
    parent = next(path for path in (home, *home.parents) if path.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
        detail = f"{home} can't be written: set BEHOLDER_HOME to a folder that can."
        return Check("data folder", False, detail, needed=True)
    total, _, free = shutil.disk_usage(parent)
    if total == 0:  # /proc and its like hold no files
        detail = f"{home} can't be made: set BEHOLDER_HOME to a folder on a disk."
        return Check("data folder", False, detail, needed=True)
    space = f"{free / _GIB:.1f} GiB free"
    if free < LOW_SPACE_BYTES:
        return Check("data folder", False, f"{home}, only {space}: free some.", needed=free == 0)
    return Check("data folder", True, f"{home}, {space}", needed=True)


def _check_database(settings: "Settings") -> Check:
    from beholder.jobs.database import Database, describe, parse_url
    from beholder.jobs.schema import check, head_revision

    url = parse_url(settings.database)
    where = describe(url)
    if settings.database_url is None and not Path(where).exists():
        return Check("database", True, f"{where}, made with the first job", needed=True)
    database = Database.open(settings.database)
    try:
        check(database)
    finally:
        database.dispose()
    return Check("database", True, f"{where}, at revision {head_revision()}", needed=True)


def _check_store(settings: "Settings") -> Check:
    from beholder.store import Store

    store = Store.open(settings.store)
    folder = store.local_path(".")
    if folder is None:
        store.exists("pictures")  # raises when the bucket can't be reached
    else:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            detail = f"{store} can't be written: change its owner or set BEHOLDER_STORE_URL."
            return Check("store", False, detail, needed=True)
    missing = _missing(settings, store)
    return Check("store", missing is None, missing or str(store), needed=True)


def _missing(settings: "Settings", store: "Store") -> str | None:
    """That the whole store is not where its database knows it to be; None where it is."""
    from beholder.upkeep.presence import insist_on_there

    with _opened(settings) as database:
        if database is None:
            return None
        try:
            insist_on_there(database, store)
        except StoreMissing as error:
            return str(error)
        except BeholderError:
            pass  # the database has a line of its own
    return None


@contextmanager
def _opened(settings: "Settings") -> "Iterator[Database | None]":
    """The database, if it has been made."""
    from beholder.jobs.database import Database

    if settings.database_url is None and not (settings.home / "beholder.db").exists():
        yield None
        return
    database = Database.open(settings.database)
    try:
        yield database
    finally:
        database.dispose()


def _check_redis(settings: "Settings") -> Check:
    from beholder.private_redis import find_redis_server
    from beholder.service import redis_answers

    if settings.redis_url is not None:
        silence = silence_of_redis(settings)
        shown = without_secrets(settings.broker)
        return Check("redis", silence is None, silence or f"{shown} answers", needed=True)
    if redis_answers(settings):
        return Check("redis", True, f"the private one answers at {settings.redis_socket}")
    return Check("redis", True, f"{find_redis_server()}, started by `beholder up`")


def _check_service(settings: "Settings") -> Check:
    from beholder.service import service_runs

    if service_runs(settings):
        return Check("service", True, "`beholder up` runs on this data folder")
    return Check("service", False, "not running: start `beholder up`, or use --wait.")


def _check_workers(settings: "Settings") -> Check:
    from beholder.alive import Locks
    from beholder.jobs.pauses import has_paused
    from beholder.jobs.workers import live_workers

    with _opened(settings) as database:
        if database is None:
            return Check("workers", True, "none yet")
        is_dead = Locks(settings.home).is_dead
        alive = live_workers(database, within_s=WORKER_SILENCE_S, is_dead=is_dead)
    if not alive:
        return Check("workers", False, "none heard of: start `beholder up` or `beholder worker`.")
    busy = sum(worker.chunk_id is not None for worker in alive)
    names = ", ".join(worker.name for worker in alive[:5])
    paused = next((worker.paused for worker in alive if has_paused(worker.paused)), None)
    if paused:
        return Check("workers", False, f"{len(alive)} alive, paused: {paused}")
    return Check("workers", True, f"{len(alive)} alive, {busy} busy: {names}")


def _check_networks(settings: "Settings") -> Check:
    from beholder.catalogue import network_rows

    here = [row["name"] for row in network_rows(settings) if row["here"]]
    detail = f"weights here: {', '.join(here) or 'none'}"
    if "vgg19" not in here:
        detail += "; vgg19 is downloaded when first used (548 MB)"
    return Check("networks", bool(here), detail)


CHECKS: tuple[Callable[["Settings"], Check], ...] = (
    _check_python,
    _check_settings,
    _check_torch,
    _check_gpu,
    _check_data_folder,
    _check_database,
    _check_store,
    _check_redis,
    _check_service,
    _check_workers,
    _check_networks,
)


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "of unknown version"
