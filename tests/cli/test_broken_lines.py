"""Pictures and results over lines that break: what is sent, what goes on, what is made once."""

import io
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from beholder.errors import ServiceUnavailable
from beholder.intake import find_pictures
from beholder.jobs.queries import items, list_jobs
from cli.context import Context
from cli.desk.pending import pending_key
from cli.desk.remote import RemoteDesk
from cli.desk.wire import Wire
from tests.api.conftest import Server
from tests.cli.line import Line, noise, submit
from tests.drawn import png

pytestmark = [pytest.mark.slow, pytest.mark.there]  # real servers; seconds in all

Beholder = Callable[..., Any]


def test_only_what_the_server_lacks_is_sent(
    beholder: Beholder, line: Line, folder: Path, context: Context
) -> None:
    assert submit(beholder, folder).code == 0
    assert line.count("POST /v1/pictures/missing") == 1
    assert line.count("POST /v1/pictures") - 1 == 6
    (folder / "cat7.png").write_bytes(png(7))
    (folder / "copy.png").write_bytes(png(7))
    line.requests.clear()
    assert submit(beholder, folder).code == 0
    assert line.count("POST /v1/pictures") - line.count("POST /v1/pictures/missing") == 1
    newest, first = list_jobs(context.db)
    assert (newest.total, first.total) == (8, 6)
    line.requests.clear()
    assert submit(beholder, folder, "--mask", str(folder / "cat7.png")).code == 0
    assert line.count("POST /v1/pictures") == line.count("POST /v1/pictures/missing") == 2


def test_a_full_disk_for_temporary_files_is_one_line(
    beholder: Beholder, line: Line, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(open, "/dev/full", "w+b"))
    answer = submit(beholder, folder)
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert "no temporary file can be written in /" in answer.err
    assert "(No space left on device): free some space, or set TMPDIR" in answer.err


def test_an_upload_goes_on_where_the_line_broke(
    beholder: Beholder,
    line: Line,
    tmp_path: Path,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cli.desk.sending.PIECE", 30_000)
    data, path = noise(1, side=300), tmp_path / "noise.png"
    path.write_bytes(data)
    line.cut_up = [150_000, 100_000]
    answer = beholder("submit", str(path), "--network", "specimens")
    assert answer.code == 0, answer.err
    assert not line.cut_up
    assert line.count("PATCH") >= 4
    assert line.up < len(data) + 90_000  # the two pieces that were under way, and headers
    (job,) = list_jobs(context.db)
    (item,) = items(context.db, job.id)
    assert item.picture_sha256 is not None
    assert context.store.picture(item.picture_sha256) == data
    assert not list((context.settings.home / "uploads").iterdir())


@pytest.mark.parametrize("piece", [30_000, 1 << 20])
def test_a_body_that_stalled_is_sent_again(
    beholder: Beholder,
    line: Line,
    tmp_path: Path,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    piece: int,
) -> None:
    """In pieces it goes on where it was. The server has ended the request meanwhile."""
    monkeypatch.setattr("cli.desk.sending.PIECE", piece)
    monkeypatch.setattr("api.bodies.STALL_S", 0.2)
    data, path = noise(1), tmp_path / "noise.png"
    path.write_bytes(data)
    real, stalled = line._is_cut, list[int]()

    def stall_once(cuts: list[int], size: int) -> int | None:
        if cuts is line.cut_up and line.up > 20_000 and not stalled:
            stalled.append(line.up)
            time.sleep(0.8)
        return real(cuts, size)

    monkeypatch.setattr(line, "_is_cut", stall_once)
    answer = beholder("submit", str(path), "--network", "specimens")
    assert answer.code == 0, answer.err
    assert len(stalled) == 1
    if piece > len(data):
        assert line.count("POST /v1/pictures") - line.count("POST /v1/pictures/missing") == 2
    else:
        assert line.up < len(data) + piece + 9_000
    (job,) = list_jobs(context.db)
    (item,) = items(context.db, job.id)
    assert item.picture_sha256 is not None
    assert context.store.picture(item.picture_sha256) == data


@pytest.fixture
def twins(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the same bytes twice, and a small picture. Of uploads, a server takes one."""
    monkeypatch.setattr("cli.desk.sending.PIECE", 30_000)
    folder, data = tmp_path / "twins", noise(1, side=300)
    folder.mkdir()
    for name in ("1.png", "2.png"):
        (folder / name).write_bytes(data)
    (folder / "3.png").write_bytes(png(3))
    monkeypatch.setattr(server.services.uploads, "_total_bytes", len(data) + 10)
    return folder


def test_a_server_without_room_for_now_is_waited_for(
    beholder: Beholder,
    line: Line,
    twins: Path,
    server: Server,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = server.services.uploads.create(11, "0" * 64, "another")
    with monkeypatch.context() as hasty:
        hasty.setattr("cli.desk.wire.PATIENCE_S", 0.0)
        answer = submit(beholder, twins)
    assert (answer.code, list_jobs(context.db)) == (2, [])
    assert answer.err.splitlines()[-1].startswith("beholder: unfinished uploads take 11 bytes of")
    line.requests.clear()

    def finish_theirs() -> None:
        while not line.count("POST /v1/uploads"):
            time.sleep(0.01)
        server.services.uploads.drop(others.id)

    other = threading.Thread(target=finish_theirs, daemon=True)
    other.start()
    assert submit(beholder, twins).code == 0
    other.join(10)
    (job,) = list_jobs(context.db)
    assert (job.total, job.failed) == (3, 0)


def test_the_twin_of_a_picture_that_is_refused_is_refused_too(
    beholder: Beholder, twins: Path, server: Server, context: Context
) -> None:
    """It was said to be there, and the whole job was refused for want of it."""
    server.services.uploads._total_bytes = 20_000
    assert submit(beholder, twins).code == 0
    (job,) = list_jobs(context.db)
    errors = [item.error for item in items(context.db, job.id)]
    assert errors[0] == errors[1]
    assert errors[0] is not None
    assert errors[0].startswith("all uploads may have 20,000 bytes; this alone has ")
    assert errors[2] is None


def test_a_submission_that_broke_off_sends_the_rest_when_it_is_started_again(
    beholder: Beholder,
    line: Line,
    tmp_path: Path,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cli.desk.sending.PIECE", 30_000)
    monkeypatch.setattr("cli.desk.sending.THREADS", 1)
    folder = tmp_path / "noise"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(noise(number))
    real = line._is_cut

    def kill_at(cuts: list[int], size: int) -> int | None:
        if cuts is line.cut_up and line.up > 130_000:
            threading.Thread(target=line.kill).start()
        return real(cuts, size)

    monkeypatch.setattr(line, "_is_cut", kill_at)
    broken = submit(beholder, folder)
    assert (broken.code, broken.out) == (2, "")
    assert broken.err.count("\n") == 1
    assert "answers no more" in broken.err
    assert list_jobs(context.db) == []
    monkeypatch.setattr(line, "_is_cut", real)
    line.revive()
    line.up = 0
    assert submit(beholder, folder).code == 0
    assert line.up < 160_000  # of 230,000
    (job,) = list_jobs(context.db)
    assert (job.total, job.failed) == (3, 0)


def test_whoever_gives_up_need_not_wait_for_a_server_that_is_away(
    line: Line, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.desk.wire.PATIENCE_S", 60.0)
    monkeypatch.setattr("cli.desk.sending.TOGETHER", 1)
    monkeypatch.setattr("cli.desk.sending.THREADS", 2)
    taken = RemoteDesk(Wire(line.url, None), tmp_path).take_in(find_pictures((), (folder,)), None)
    assert next(taken).error is None
    line.kill()
    begun = time.monotonic()
    taken.close()
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("command", ["fetch", "atlas"])
def test_ctrl_c_ends_downloads_from_a_server_that_is_away(
    beholder: Beholder, line: Line, server: Server, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("cli.desk.wire.PATIENCE_S", 20.0)
    asked = {"layer": 1, "channels": [0, 1, 2], "spec": {"network": "specimens", "steps": 2}}
    jobs = [
        row["job"] for row in server.http.post("/v1/channels/dreams", json=asked).json()["queued"]
    ]
    for job in jobs:
        server.work(job)
    interrupted: list[float] = []

    def interrupt() -> None:
        time.sleep(0.3)
        interrupted.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    real = line._is_cut

    def kill_at_the_first_picture(cuts: list[int], size: int) -> int | None:
        if "/pictures/" in line.requests[-1] and not line.dead:
            line.kill()
            threading.Thread(target=interrupt).start()
        return real(cuts, size)

    monkeypatch.setattr(line, "_is_cut", kill_at_the_first_picture)
    named = ("--layer", "1", "--channel", "0-2", "--recipe", "article", "--network", "specimens")
    answer = beholder(command, *((jobs[0],) if command == "fetch" else named))
    assert answer.code == 130, answer.err
    assert time.monotonic() - interrupted[0] < 10


def test_whoever_gives_up_need_not_wait_for_the_rest_of_a_download(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = noise(4)
    monkeypatch.setattr("tests.api.conftest.png", lambda *_, **__: data)
    job = server.dream(1)["id"]
    server.work(job)
    wire, got = Wire(server.url, None), list[bytes]()

    def write(piece: bytes) -> None:
        got.append(piece)
        wire.hurry.set()

    with pytest.raises(ServiceUnavailable, match="given up in mid-answer"):
        wire.download(f"/v1/jobs/{job}/items/0/pictures/3", write)
    assert len(got) == 1


def test_bytes_are_asked_for_again_where_the_line_broke(
    line: Line, server: Server, tmp_path: Path
) -> None:
    data = noise(6)
    sha256 = server.http.post("/v1/pictures", content=data).json()["sha256"]
    desk = RemoteDesk(Wire(line.url, None), tmp_path)
    whole = desk.picture(sha256)
    line.cut_down = [10_000, 5_000]
    assert desk.picture(sha256) == whole
    assert not line.cut_down
    line.cut_down = [10_000] * 9
    with pytest.raises(ServiceUnavailable, match="broke off in mid-answer"):
        desk.picture(sha256)


def test_keys_of_requests_are_forgotten_after_a_day(tmp_path: Path) -> None:
    def key(body: bytes) -> str:
        with suppress(ZeroDivisionError), pending_key(tmp_path, "here", io.BytesIO(body)) as found:
            raise ZeroDivisionError
        return found

    first = key(b"a")
    assert key(b"a") == first
    assert key(b"b") != first
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    assert key(b"a") != first
    assert len(list(tmp_path.iterdir())) == 1
    with pending_key(tmp_path, "here", io.BytesIO(b"a")):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_job_whose_answer_was_lost_is_not_made_twice(
    beholder: Beholder, line: Line, folder: Path, context: Context, tmp_path: Path
) -> None:
    line.deaf = {"POST /v1/dreams"}
    lost = submit(beholder, folder)
    assert (lost.code, lost.out) == (2, "")
    assert line.count("POST /v1/dreams") > 1
    (job,) = list_jobs(context.db)
    line.deaf = set()
    again = submit(beholder, folder)
    assert again.out == f"{job.id}\n"
    assert "not queued twice" in again.err
    assert [one.id for one in list_jobs(context.db)] == [job.id]
    assert list((tmp_path / "home" / "requests").iterdir()) == []
    meant = submit(beholder, folder)  # the same once more is another job
    assert (meant.code, meant.out != again.out) == (0, True)
    assert len(list_jobs(context.db)) == 2


def test_a_job_is_cancelled_though_the_first_answer_was_lost(
    beholder: Beholder, line: Line, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, real = server.dream(1)["id"], line._is_cut
    asked, lost = f"POST /v1/jobs/{job}/cancel", list[int]()

    def lose_the_first(cuts: list[int], size: int) -> int | None:
        if cuts is line.cut_down and line.requests[-1] == asked and not lost:
            lost.append(size)
            return 0
        return real(cuts, size)

    monkeypatch.setattr(line, "_is_cut", lose_the_first)
    answer = beholder("cancel", job)
    assert (answer.code, line.count(asked)) == (0, 2), answer.err
    assert f"job {job}: cancelled" in answer.err
    again = beholder("cancel", job)
    assert again.code != 0
    assert "already cancelled: there is nothing to cancel" in again.err


def test_what_might_queue_twice_is_asked_once(
    beholder: Beholder, line: Line, server: Server
) -> None:
    job = server.dream(1)["id"]
    server.http.post(f"/v1/jobs/{job}/cancel")
    line.deaf = {f"POST /v1/jobs/{job}/retry"}
    answer = beholder("retry", job)
    assert (answer.code, line.count(f"POST /v1/jobs/{job}/retry")) == (2, 1)
    assert answer.err.count("\n") == 1


def test_a_result_goes_on_where_the_line_broke(
    beholder: Beholder, line: Line, server: Server, tmp_path: Path, monkeypatch: Any
) -> None:
    data = noise(5)
    monkeypatch.setattr("tests.api.conftest.png", lambda *_, **__: data)
    monkeypatch.setattr("cli.export.draw_sheets", lambda *_: ())
    job = server.dream(1)
    server.work(job["id"])
    line.down, line.cut_down = 0, [40_000, 50_000]
    assert beholder("fetch", job["id"], "-o", str(tmp_path / "out")).code == 0
    assert not line.cut_down
    written = list((tmp_path / "out").glob("*.png"))
    assert len(written) == 4
    assert all(path.read_bytes() == data for path in written)
    assert line.down < 4 * len(data) + 60_000  # of what had arrived, nothing came twice
    assert not list((tmp_path / "out").glob(".*"))
