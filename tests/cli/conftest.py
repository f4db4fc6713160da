"""Commands run in this process on a real SQLite database and store.

`beholder("jobs")` runs a command; `dream_job` and `study_job` fill the database through the same
functions that workers use. Tests work on this machine's own data folder; those marked `there` are
the client of a real server whose data folder that is, and those marked `both` run as either. That
is for what goes another way over the API: the answer to each question of cli.desk.Desk, and the
errors in its place. How an answer is shown is the same, and needs one side.
"""

import hashlib
import io
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from beholder.intake import find_pictures, take_in
from beholder.jobs import claims, finish, weights
from beholder.jobs.outcomes import (
    ChannelRow,
    DreamOutcome,
    ItemFailure,
    Judgement,
    StoredFile,
    VerdictOutcome,
)
from beholder.jobs.submit import create_job, noise_entries
from beholder.layers import LAYERS
from beholder.settings import Settings
from beholder.specs import DreamSpec, StudySpec
from beholder.store import result_folder
from cli.context import Context
from cli.main import run
from tests.cli.line import Line, line_to
from tests.drawn import png
from tests.emptying import empty

if TYPE_CHECKING:
    from tests.api.conftest import Server

DIVISOR = 4  # specimens'
SHA256 = "f" * 64
REMOTE = pytest.param("remote", marks=pytest.mark.slow)  # a real server


@dataclass(frozen=True)
class Answer:
    """What a command did."""

    code: int
    out: str
    err: str


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "where" in metafunc.fixturenames:
        marks = {mark.name for mark in metafunc.definition.iter_markers()}
        sides = [REMOTE] * bool(marks & {"there", "both"}) + ["local"] * ("there" not in marks)
        metafunc.parametrize("where", sides, indirect=True)


@pytest.fixture
def where(request: pytest.FixtureRequest) -> str:
    """ "local" or "remote"."""
    return str(request.param)


@pytest.fixture(scope="session")
def shared_server(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path
) -> Iterator["Server"]:
    """The server of all remote tests: starting one takes longer than most of them."""
    from tests.api.conftest import serving

    folder = tmp_path_factory.mktemp("server") / "home"
    folder.mkdir(mode=0o700)
    shutil.copy(empty_database, folder / "beholder.db")
    with serving(Settings(home=folder, server=None)) as started:
        yield started


@pytest.fixture
def server(shared_server: "Server") -> Iterator["Server"]:
    """The server, emptied afterwards."""
    yield shared_server
    empty(shared_server.services.db)
    for name in ("store", "uploads"):
        shutil.rmtree(shared_server.services.settings.home / name, ignore_errors=True)


@pytest.fixture
def line(server: "Server", home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """The line between the commands and the server, which both are in a hurry to give up."""
    monkeypatch.setattr("cli.desk.wire._PAUSES_S", (0.01, 0.05, 0.1))
    monkeypatch.setattr("cli.desk.wire.FIRST_S", 0.3)
    monkeypatch.setattr("cli.desk.wire.PATIENCE_S", 1.0)
    with line_to(server.url) as between:
        monkeypatch.setenv("BEHOLDER_SERVER", between.url)
        yield between


@pytest.fixture
def home(
    where: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    empty_database: Path,
) -> Path:
    """The data folder that jobs are in; a client has one of its own."""
    for name in ("DATABASE_URL", "REDIS_URL", "STORE_URL", "NETWORK", "MAX_PIXELS", "SERVER"):
        monkeypatch.delenv(f"BEHOLDER_{name}", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "home"
    monkeypatch.setenv("BEHOLDER_HOME", str(folder))
    if where == "local":
        folder.mkdir(mode=0o700)
        shutil.copy(empty_database, folder / "beholder.db")
        return folder
    running: Server = request.getfixturevalue("server")
    monkeypatch.setenv("BEHOLDER_SERVER", running.url)
    return running.services.settings.home


@pytest.fixture
def context(home: Path) -> Context:
    """The database and the store that jobs are in, whoever asks for them."""
    opened = Context()
    opened.settings = Settings(home=home, server=None)
    return opened


@pytest.fixture
def beholder(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Answer]:
    def call(*arguments: str) -> Answer:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["beholder", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
        out, err = capsys.readouterr()
        code = ended.value.code
        return Answer(code if isinstance(code, int) else 0, out, err)

    return call


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures; two have one stem."""
    folder = tmp_path / "kelpies"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("kelpie1.png", "kelpie2.png", "more/kelpie1.png")):
        Image.new("RGB", (60, 40), (80 * number, 20, 20)).save(folder / name)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six small pictures."""
    made = tmp_path / "cats"
    made.mkdir()
    for number in range(6):
        (made / f"cat{number}.png").write_bytes(png(30 * number))
    return made


def _entries(context: Context, folder: Path, role: Any = None) -> list[Any]:
    found = find_pictures((), (folder,), recursive=True)
    return list(take_in(context.store, found, max_pixels=10**8, role=role))


def _claims(context: Context, job_id: str) -> Any:
    """The job's chunks one after the other; other jobs' are given back."""
    passed = []
    while taken := claims.claim_next(context.db, worker="test", lease_s=60):
        (claim,) = taken
        if claim.job_id == job_id:
            yield claim
        else:
            passed.append(claim)
    for claim in passed:
        claims.release(context.db, claim)


def _png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (0, shade, 0)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def dream_job(context: Context, pictures: Path) -> Callable[..., str]:
    """Make a dream job over `pictures` and run it: `chunks` of them, `failing` positions apart."""

    def make(*, failing: tuple[int, ...] = (), chunks: int | None = None, **fields: Any) -> str:
        spec = DreamSpec.build(**{"network": "specimens", "layers": (20, 35), "steps": 3, **fields})
        entries = [*_entries(context, pictures), *noise_entries(spec)]
        created = create_job(context.db, spec, entries, name="kelpies", chunk_size=1)
        for number, claim in enumerate(_claims(context, created.id)):
            if number == chunks:
                claims.release(context.db, claim)
                break
            weights.record_network(context.db, [claim], spec.network, SHA256)
            outcomes = [_dreamt(context, spec, claim, item, failing) for item in claim.items]
            finish.finish_dreams(context.db, [(claim, outcomes)])
        return created.id

    return make


def _dreamt(
    context: Context, spec: DreamSpec, claim: Any, item: Any, failing: tuple[int, ...]
) -> DreamOutcome | ItemFailure:
    if item.position in failing:
        return ItemFailure(item.position, "the gradient overflowed: use a lower --learning-rate.")
    files = []
    for step in spec.steps_kept:
        data = _png(40 * item.position + step)
        path = f"{result_folder(claim.job_id, claim.token)}/{item.position}-{step}.png"
        context.store.put(path, data)
        sha256 = hashlib.sha256(data).hexdigest()
        files.append(StoredFile(step, path, sha256, len(data), 32, 32))
    kept = {"objective": [1.0, 2.0, 3.0], "precision": "float32"}
    return DreamOutcome(item.position, tuple(files), kept, 0.5)


@pytest.fixture
def study_job(context: Context, pictures: Path) -> Callable[..., str]:
    """Make a study of `pictures` against themselves and run it, up to choosing if `measured`."""

    def make(*, name: str = "kelpies", measured: bool = False) -> str:
        entries = [
            *_entries(context, pictures, "target"),
            *_entries(context, pictures, "control"),
        ]
        spec = StudySpec.build(network="specimens", threshold=2)
        created = create_job(context.db, spec, entries, name=name)
        for claim in _claims(context, created.id):
            weights.record_network(context.db, [claim], spec.network, SHA256)
            if measured and claim.stage != "measure":
                claims.release(context.db, claim)
                break
            _study_stage(context, claim)
        return created.id

    return make


def _study_stage(context: Context, claim: Any) -> None:
    if claim.stage == "choose":
        finish.finish_choose(
            context.db, claim, _channel_rows(), target_pictures=3, control_pictures=3
        )
        return
    outcomes = []
    for item in claim.items:
        changed = claim.stage == "classify" and item.role == "target" and item.position > 0
        label = "toy terrier" if changed else "kelpie"
        verdict = Judgement(label, 7, 0.9, ((label, 0.9), ("skunk", 0.05)))
        outcomes.append(VerdictOutcome(item.position, verdict))
    if claim.stage == "measure":
        finish.finish_measure(context.db, claim, outcomes, partial="partial")
    else:
        finish.finish_classify(context.db, claim, outcomes)


def _channel_rows() -> list[ChannelRow]:
    """Channel c of every layer was a top one in 3 - c pictures."""
    return [
        ChannelRow(
            layer.index,
            channel,
            count=max(0, 3 - channel),
            controls=channel % 2,
            mean=10.0 - channel / 100,
            deviation=1.0,
            maximum=12.0,
            control_mean=3.0,
            control_deviation=0.5,
            control_maximum=4.0,
            chosen=layer.index >= 20 and channel < 2,
        )
        for layer in LAYERS
        for channel in range(layer.channels // DIVISOR)
    ]
