"""A server that is asked over lines that break; tokens, addresses, and servers that are none.

That commands do the same as a client as on the server's machine is what all other tests here show.
"""

import http.server
import io
import ipaddress
import json
import os
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from PIL import Image, ImageChops, ImageStat

from beholder.errors import InvalidInput
from beholder.intake import find_pictures
from beholder.jobs.queries import items, list_jobs
from beholder.protocol import API_HEADER, API_LEVEL
from beholder.tokens import make_token
from cli.context import Context
from cli.desk.address import read_token, server_address
from cli.desk.pending import pending_key
from cli.desk.remote import RemoteDesk
from cli.desk.wire import Wire
from cli.main import app
from tests.api.conftest import Server, _settings, png, serving
from tests.cli.line import Line, line_to

pytestmark = [pytest.mark.slow, pytest.mark.there]  # real servers; seconds in all

Beholder = Callable[..., Any]
Make = Callable[..., str]


@pytest.fixture
def line(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """The line between the commands and the server, which both are in a hurry to give up."""
    monkeypatch.setattr("cli.desk.wire._PAUSES_S", (0.01, 0.05, 0.1))
    monkeypatch.setattr("cli.desk.wire.FIRST_S", 0.3)
    monkeypatch.setattr("cli.desk.wire.PATIENCE_S", 1.0)
    with line_to(server.url) as between:
        monkeypatch.setenv("BEHOLDER_SERVER", between.url)
        yield between


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six small pictures."""
    made = tmp_path / "cats"
    made.mkdir()
    for number in range(6):
        (made / f"cat{number}.png").write_bytes(png(30 * number))
    return made


def noise(seed: int, side: int = 160) -> bytes:
    """A picture that takes some 75 kB."""
    pixels = random.Random(seed).randbytes(3 * side * side)
    buffer = io.BytesIO()
    Image.frombytes("RGB", (side, side), pixels).save(buffer, "PNG")
    return buffer.getvalue()


def submit(beholder: Beholder, folder: Path, *more: str) -> Any:
    return beholder("submit", "--dir", str(folder), "--network", "specimens", *more)


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


def test_a_job_is_the_same_from_a_client_as_from_the_server_s_machine(
    beholder: Beholder, server: Server, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures / "broken.jpg").write_bytes(b"no picture")
    db = server.services.db
    wanted = ("study", "-r", "--dir", str(pictures), "--control", str(pictures / "more"))
    options = ("--network", "specimens", "--top", "7", "--priority", "low", "--device", "cpu")
    remote = beholder(*wanted, *options, "--json")
    monkeypatch.delenv("BEHOLDER_SERVER")
    monkeypatch.setenv("BEHOLDER_HOME", str(server.services.settings.home))
    local = beholder(*wanted, *options, "--json")
    rows = [json.loads(answer.out) for answer in (remote, local)]
    told = [
        [
            (item.position, item.source, item.role, item.group, item.picture_sha256, item.error)
            for item in items(db, row["id"])
        ]
        for row in rows
    ]
    assert told[0] == told[1]
    assert [error for *_, error in told[0] if error]
    for row in rows:
        del row["id"], row["created_at"]
    assert rows[0] == rows[1]
    assert (rows[0]["priority"], rows[0]["device"]) == ("low", "cpu")


def test_fetched_files_are_the_same_and_sheets_look_the_same(
    beholder: Beholder, server: Server, dream_job: Make, tmp_path: Path, monkeypatch: Any
) -> None:
    job = dream_job(failing=(1,), noise=1)
    assert beholder("fetch", job, "-o", str(tmp_path / "remote")).code == 0
    monkeypatch.delenv("BEHOLDER_SERVER")
    monkeypatch.setenv("BEHOLDER_HOME", str(server.services.settings.home))
    assert beholder("fetch", job, "-o", str(tmp_path / "local")).code == 0
    found = {path.relative_to(tmp_path / "local") for path in (tmp_path / "local").rglob("*.*")}
    assert found == {
        path.relative_to(tmp_path / "remote") for path in (tmp_path / "remote").rglob("*.*")
    }
    for name in found:
        pair = tmp_path / "remote" / name, tmp_path / "local" / name
        if name.parts[0] != "sheets":
            assert pair[0].read_bytes() == pair[1].read_bytes()
            continue
        with Image.open(pair[0]) as one, Image.open(pair[1]) as other:
            difference = ImageStat.Stat(ImageChops.difference(one, other)).mean
        assert max(difference) < 1  # of 255: copies of the starts are re-encoded


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


def test_following_outlives_a_cut_line(
    line: Line, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("cli.desk.following._PAUSE_S", 0.05)
    job = server.dream(2)
    looks = RemoteDesk(Wire(line.url, None), tmp_path).watch(job["id"])
    assert next(looks)[0].state == "queued"
    line.kill()

    def come_back() -> None:
        server.work(job["id"])
        time.sleep(0.3)
        line.revive()

    worker = threading.Thread(target=come_back)
    worker.start()
    final, through = list(looks)[-1]
    worker.join()
    assert (final.state, final.done, through) == ("done", 4, 4.0)
    assert final.network_sha256  # no event says that


def test_waiting_outlives_a_restart_of_the_server(
    beholder: Beholder, line: Line, folder: Path, tmp_path: Path, empty_database: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It stops in mid-job, and another takes its port: one line, and the results in the end."""
    monkeypatch.setattr("cli.desk.wire.AWAY_S", 0.2)
    monkeypatch.setattr("cli.desk.following._PAUSE_S", 0.05)
    (tmp_path / "restarted").mkdir()
    settings = _settings(tmp_path / "restarted", empty_database)
    ports: Queue[int] = Queue()
    ended = threading.Event()

    def restart() -> None:
        with serving(settings) as first:
            port = urlsplit(first.url).port or 0
            ports.put(port)
            while not (followed := list(first.services.live._channels)):
                time.sleep(0.02)
            first.work(followed[0], chunks=1)
        time.sleep(1.0)
        with serving(settings, port=port) as second:
            second.work(followed[0])
            ended.wait(20)

    servers = threading.Thread(target=restart)
    servers.start()
    url, out = f"http://127.0.0.1:{ports.get(timeout=20)}", tmp_path / "out"
    asked = ("--dir", str(folder), "--layer", "20,35", "--wait", "-o", str(out))
    answer = beholder("--server", url, "submit", *asked)
    ended.set()
    servers.join()
    assert answer.code == 0, answer.err
    said = f"{url} can't be reached (connection refused): trying again for 10 min."
    assert answer.err.count("can't be reached") == answer.err.count(said) == 1
    assert "12 of 12 done" in answer.err
    assert len(list(out.glob("*.png"))) == 12


def test_following_a_job_that_is_deleted_ends(line: Line, server: Server, tmp_path: Path) -> None:
    from beholder.errors import NotFound

    job = server.dream(1)
    looks = RemoteDesk(Wire(line.url, None), tmp_path).watch(job["id"])
    next(looks)
    server.http.post(f"/v1/jobs/{job['id']}/cancel")
    server.http.delete(f"/v1/jobs/{job['id']}")
    with pytest.raises(NotFound):
        list(looks)


def test_waiting_writes_the_results(
    beholder: Beholder, line: Line, server: Server, folder: Path, context: Context, tmp_path: Path
) -> None:
    def work() -> None:
        while not (queued := list_jobs(context.db)):
            time.sleep(0.05)
        server.work(queued[0].id)

    worker = threading.Thread(target=work)
    worker.start()
    answer = submit(beholder, folder, "--layer", "35", "--wait", "-o", str(tmp_path / "out"))
    worker.join()
    assert answer.code == 0, answer.err
    assert "6 of 6 done" in answer.err
    assert len(list((tmp_path / "out").glob("*.png"))) == 6


@pytest.fixture
def guarded(tmp_path: Path, empty_database: Path, monkeypatch: Any) -> Iterator[dict[str, Path]]:
    """A server that wants tokens; files with one of each scope, and one that is unknown."""
    files, entries = {}, []
    for scope in ("read", "submit", "admin"):
        token, entry = make_token(f"ada-{scope}", scope)
        entries.append(entry)
        files[scope] = tmp_path / f"{scope}.token"
        files[scope].write_text(f"{token}\n")
    files["unknown"] = tmp_path / "unknown.token"
    files["unknown"].write_text("bhd_unknown")
    (tmp_path / "guarded").mkdir()
    settings = _settings(tmp_path / "guarded", empty_database, api_tokens=",".join(entries))
    with serving(settings) as started:
        monkeypatch.setenv("BEHOLDER_SERVER", started.url)
        yield files


def test_tokens(beholder: Beholder, guarded: dict[str, Path], monkeypatch: Any) -> None:
    wanted = "asks for a token: name a file that holds one with --token-file"
    assert wanted in beholder("jobs").err
    refused = beholder("--token-file", str(guarded["unknown"]), "jobs")
    assert refused.code == 2
    assert "does not know this token: check --token-file" in refused.err
    assert "bhd_" not in refused.err
    assert beholder("--token-file", str(guarded["read"]), "jobs").code == 0
    monkeypatch.setenv("BEHOLDER_TOKEN_FILE", str(guarded["read"]))
    less = beholder("submit", "--noise", "1")
    assert less.code == 2
    assert less.err == "beholder: the token 'ada-read' may read; this needs the scope submit.\n"
    monkeypatch.setenv("BEHOLDER_TOKEN_FILE", str(guarded["submit"]))
    made = beholder("submit", "--noise", "1", "--network", "specimens")
    assert made.code == 0
    assert beholder("keep", made.out.strip()).code == 0
    doctor = beholder("doctor")
    assert "'ada-submit': it may look and queue" in doctor.out
    assert doctor.code == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "can't be read (No such file or directory)"),
        (b"", "is to hold one token and nothing else"),
        (b"bhd_secret and more", "is to hold one token and nothing else"),
        (b"bhd_secret" * 200, "is to hold one token and nothing else"),
        ("bhd_sécret".encode(), "has letters that no token has"),
    ],
)
def test_a_token_file_that_is_none(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput) as refused:
        read_token(path)
    assert words in str(refused.value)
    assert "bhd_" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "token", "words"),
    [
        ("https://host.example/", True, None),
        ("http://127.0.0.1:8321", True, None),
        ("http://[::1]:8321", True, None),
        ("http://localhost", True, None),
        ("http://host.example", False, None),
        ("http://host.example", True, "is not encrypted"),
        ("host.example", False, "is an address such as https://"),
        ("ftp://host.example", False, "is an address such as https://"),
        ("https://", False, "is an address such as https://"),
        ("https://host:port", False, "is an address such as https://"),
        ("https://ada:secret@host.example", False, "holds a user or a password"),
    ],
)
def test_addresses(url: str, token: bool, words: str | None) -> None:
    if words is None:
        assert server_address(url, has_token=token) == url.rstrip("/")
        return
    with pytest.raises(InvalidInput) as refused:
        server_address(url, has_token=token)
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)


@contextmanager
def stranger(
    status: int = 200, body: bytes = b"hello", certificate: Path | None = None, **headers: str
) -> Iterator[str]:
    """A server that answers everything so."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        if certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            running.socket = tls.wrap_socket(running.socket, server_side=True)
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http{'s' if certificate else ''}://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (200, {}, "is no Beholder server, or an older one"),
        (404, {}, "is no Beholder server, or an older one"),
        (308, {"Location": "https://other.example/v1/jobs?key=secret"}, "to https://other.example"),
        (503, {}, "what stands before the server at"),
        (200, {API_HEADER: str(API_LEVEL + 1)}, "is newer than this command"),
        (200, {API_HEADER: str(API_LEVEL - 1)}, "update the server."),
        (200, {API_HEADER: str(API_LEVEL)}, "answered with what is no JSON"),
    ],
)
def test_servers_that_are_none(
    beholder: Beholder, line: Line, status: int, headers: dict[str, str], words: str
) -> None:
    with stranger(status, **headers) as url:
        answer = beholder("--server", url, "jobs")
    assert (answer.code, answer.out) == (2, "")
    assert words in answer.err
    assert answer.err.count("\n") == 1
    assert "secret" not in answer.err


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A new key and a certificate for 127.0.0.1 that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    now = datetime.now(UTC)
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(addresses, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    return path


def test_a_certificate_is_checked(
    beholder: Beholder, line: Line, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = b'{"jobs": [], "next": null}'
    headers = {API_HEADER: str(API_LEVEL)}
    with stranger(body=nothing, certificate=certificate, **headers) as url:
        refused = beholder("--server", url, "jobs")
        assert refused.code == 2
        assert "no safe connection (self-signed certificate)" in refused.err
        assert "SSL_CERT_FILE" in refused.err
        assert refused.err.count("\n") == 1
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert beholder("--server", url, "jobs").code == 0


def test_a_server_that_is_not_there_is_one_line(beholder: Beholder, line: Line) -> None:
    begun = time.monotonic()
    answer = beholder("--server", "http://127.0.0.1:9", "jobs")
    assert answer.code == 2
    assert answer.err.startswith("beholder: http://127.0.0.1:9 does not answer (connection refused")
    assert "check --server" in answer.err
    unknown = beholder("--server", "https://nowhere.invalid", "submit", "--noise", "1")
    assert "does not answer (no host of that name)" in unknown.err
    assert time.monotonic() - begun < 10
    doctor = beholder("--server", "http://127.0.0.1:9", "doctor")
    assert doctor.code == 2
    assert "✗ server      http://127.0.0.1:9 does not answer" in doctor.out


@pytest.mark.parametrize(
    "command",
    [
        ("up",),
        ("worker",),
        ("api",),
        ("demo",),
        ("db", "upgrade"),
        ("db", "backup", "copy.db"),
        ("verify",),
        ("gc",),
        ("networks", "--download"),
    ],
)
def test_commands_of_the_server_s_own_machine(
    beholder: Beholder, home: Path, command: tuple[str, ...], tmp_path: Path
) -> None:
    answer = beholder(*command)
    assert (answer.code, answer.out) == (2, "")
    assert "works on the disk of the machine that it runs on: run it on the server" in answer.err
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "home").exists()


def test_every_other_command_is_a_client_s(beholder: Beholder, line: Line, tmp_path: Path) -> None:
    """None opens a database on this machine: the data folder stays without one."""
    for command in ("jobs", "channels", "networks", "layers", "keep", "doctor"):
        assert beholder(command).code == 0
    for command in ("show", "watch", "cancel", "retry", "fetch", "film", "report", "features"):
        assert "no job 'nosuchjob'" in beholder(command, "nosuchjob").err
    assert "no job 'nosuchjob'" in beholder("overlap", "nosuchjob", "other").err
    assert "no study has measured" in beholder("channel", "29/100").err
    assert not (tmp_path / "home" / "beholder.db").exists()


def test_the_network_is_the_server_s_own_unless_one_is_named(
    beholder: Beholder, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEHOLDER_NETWORK", "random:7")  # this machine's
    assert json.loads(beholder("submit", "--noise", "1", "--json").out)["network"] == "vgg19"
    named = beholder("submit", "--noise", "1", "--network", "random:3", "--json")
    assert json.loads(named.out)["network"] == "random:3"
    refused = beholder("submit", "--noise", "1", "--network", "mine.pth")
    assert refused.code == 2
    assert "mine.pth would be a file of the server's" in refused.err


def test_names_that_need_quoting_find_their_job(
    beholder: Beholder, line: Line, folder: Path
) -> None:
    made = submit(beholder, folder, "--name", "a/b? ü & 100%")
    assert f"dream     {made.out.strip()}  a/b? ü & 100%" in beholder("show", "a/b? ü & 100%").out


def test_the_options_are_before_the_command() -> None:
    import typer

    root = typer.main.get_command(app)
    assert {"--server", "--token-file"} <= {word for one in root.params for word in one.opts}
