"""Who a client asks: tokens and their files, addresses, certificates, and servers that are none."""

import http.client
import http.server
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from beholder.errors import InvalidInput, ServiceUnavailable
from beholder.jobs.queries import list_jobs
from beholder.protocol import API_HEADER, API_LEVEL
from beholder.tokens import make_token
from cli.context import Context
from cli.desk.address import read_token, server_address
from cli.desk.wire import Wire
from tests.api.conftest import _settings, serving
from tests.cli.line import Line, noise

pytestmark = [pytest.mark.slow, pytest.mark.there]  # real servers; seconds in all

Beholder = Callable[..., Any]


@pytest.fixture
def guarded(tmp_path: Path, empty_database: Path, monkeypatch: Any) -> Iterator[dict[str, Path]]:
    """A server that wants tokens; files with one of each scope, and one that is unknown."""
    files, entries = {}, []
    for scope in ("read", "submit", "admin"):
        token, entry = make_token(f"ada-{scope}", scope)
        entries.append(entry)
        files[scope] = tmp_path / f"{scope}.token"
        files[scope].write_text(f"{token}\n")
        files[scope].chmod(0o600)
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


def test_a_token_file_that_others_may_read_is_remarked_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "token"
    path.write_text("bhd_secret\n")
    path.chmod(0o600)
    assert read_token(path) == "bhd_secret"
    assert capsys.readouterr() == ("", "")
    path.chmod(0o644)
    assert read_token(path) == "bhd_secret"
    said = f"Others may read the token file {path}: `chmod 600 {path}`.\n"
    assert capsys.readouterr() == ("", said)


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


@contextmanager
def gate(url: str, refusing: dict[str, int]) -> Iterator[str]:
    """A reverse proxy that lets no body of more than 1 MiB through, as nginx if told nothing else.

    refusing: what it answers by itself, by the beginning of the path.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            status = next((refusing[path] for path in refusing if self.path.startswith(path)), 0)
            if status or size > 1 << 20:
                self.rfile.read(size)
                self.send_error(status or 413)
                return
            server = http.client.HTTPConnection(urlsplit(url).netloc)
            server.request(self.command, self.path, self.rfile.read(size), dict(self.headers))
            answer = server.getresponse()
            data = answer.read()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() != "transfer-encoding":
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            server.close()

        do_GET = do_POST = do_PATCH = pass_on  # noqa: N815 - as the handler wants them

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_what_stands_before_the_server_is_told_from_it(
    beholder: Beholder, line: Line, tmp_path: Path, context: Context
) -> None:
    (tmp_path / "large.png").write_bytes(noise(1, side=620))
    refusing: dict[str, int] = {}
    with gate(line.url, refusing) as url:
        large = beholder("--server", url, "submit", "large.png", "--network", "specimens")
        refusing["/v1/jobs"] = 403
        refused = beholder("--server", url, "jobs")
        wire = Wire(url, None)
        wire.get("/v1/server")
        for status, kind in ((403, InvalidInput), (404, InvalidInput), (500, ServiceUnavailable)):
            refusing["/v1/jobs"] = status
            with pytest.raises(kind, match=f"what stands before the server at .* says {status}"):
                wire.get("/v1/jobs")
    assert (large.code, large.out, large.err.count("\n")) == (2, "", 1)
    assert "says 413: let it pass bodies of any size" in large.err
    assert list_jobs(context.db) == [], "no picture is to blame"
    assert "is no Beholder server" in refused.err, "it may have been another from the beginning"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A new key and a certificate for 127.0.0.1 and beholder.test that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    now = datetime.now(UTC)
    host = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    addresses = x509.SubjectAlternativeName([host, x509.DNSName("beholder.test")])
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


@contextmanager
def balancer(url: str) -> Iterator[tuple[str, list[bytes]]]:
    """What takes connections for a server, and closes as many as have bytes to be told before."""
    closing: list[bytes] = []

    def pass_on() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            if closing:
                with client, suppress(OSError):
                    client.recv(1)  # else the rest of the greeting makes it a reset
                    client.recv(1 << 16)
                    client.sendall(closing.pop())
                continue
            server = socket.create_connection(("127.0.0.1", port))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=_copy, args=(one, other), daemon=True).start()

    port = urlsplit(url).port
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=pass_on, daemon=True).start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}", closing
        listening.shutdown(socket.SHUT_RDWR)


def _copy(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(1 << 16):
            other.sendall(data)
        other.shutdown(socket.SHUT_RDWR)


def test_a_line_that_breaks_in_the_handshake_is_tried_again(
    line: Line, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a load balancer while its server restarts: no certificate is to blame."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    headers = {API_HEADER: str(API_LEVEL)}
    alert = b"\x15\x03\x03\x00\x02\x02\x50"  # fatal: internal error
    with (
        stranger(body=b"{}", certificate=certificate, **headers) as behind,
        balancer(behind) as (url, closing),
    ):
        closing += [b"", alert, b""]
        assert Wire(url, None).get("/v1/jobs") == {}
        assert closing == []
        closing += [b""] * 99
        with pytest.raises(ServiceUnavailable, match=r"does not answer \(cut off\)"):
            Wire(url, None).get("/v1/jobs")
        assert len(closing) < 97


def test_a_server_without_tls_is_not_asked_again(line: Line) -> None:
    url = line.url.replace("http:", "https:")
    with pytest.raises(ServiceUnavailable, match="is answered without TLS: is http:// meant"):
        Wire(url, None).get("/v1/jobs")


@contextmanager
def proxy(authorization: str | None) -> Iterator[tuple[int, list[str]]]:
    """A proxy on loopback, where all names are this machine's: its port, and what it was asked.

    authorization: what it wants to be told, if anything.
    """
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            if self.headers.get("Proxy-Authorization") != authorization:
                self.send_error(407)
                return
            port = int(self.path.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as server:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_copy, args=(server, self.connection), daemon=True)
                back.start()
                _copy(self.connection, server)
                back.join(5)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running.server_port, asked
        running.shutdown()


@pytest.mark.parametrize(
    ("authorization", "before"),
    [
        (None, ""),
        (None, "http://"),
        ("Basic YWRhOnAvw6Q6QA==", "http://ada:p%2F%C3%A4%3A%40@"),
        ("Basic YWRhOnB3", "ada:pw@"),
    ],
)
def test_a_proxy_is_asked_as_the_environment_names_it(
    line: Line,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    authorization: str | None,
    before: str,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    for name in ("https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    headers = {API_HEADER: str(API_LEVEL)}
    with (
        stranger(body=b"{}", certificate=certificate, **headers) as url,
        proxy(authorization) as (port, asked),
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"{before}127.0.0.1:{port}")
        named = url.replace("127.0.0.1", "beholder.test")
        assert Wire(named, None).get("/v1/jobs") == {}
        assert asked == [named.removeprefix("https://")]
        assert Wire(url, None).get("/v1/jobs") == {}
        monkeypatch.setenv("NO_PROXY", "beholder.test")
        with pytest.raises(ServiceUnavailable, match="no host of that name"):
            Wire(named, None).get("/v1/jobs")
        assert len(asked) == 1, "this machine, and what NO_PROXY names, are asked themselves"


def test_a_proxy_that_refuses_says_why(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with proxy("Basic YWRhOnB3") as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://ada:secret@127.0.0.1:{port}")
        with pytest.raises(ServiceUnavailable) as refused:
            Wire("https://beholder.test", None).get("/v1/jobs")
    assert "the proxy does not answer (it says 407 Proxy Authentication" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("socks5://ada:secret@127.0.0.1:1080", "begins with socks5://"),
        ("ada:secret@127.0.0.1:port", "is none"),
        ("http://", "is none"),
    ],
)
def test_a_proxy_that_is_none(
    beholder: Beholder, line: Line, monkeypatch: pytest.MonkeyPatch, named: str, words: str
) -> None:
    for name in ("https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", named)
    answer = beholder("--server", "https://beholder.test", "jobs")
    assert (answer.code, answer.out) == (2, "")
    assert "HTTPS_PROXY is to be a proxy's address such as http://proxy" in answer.err
    assert words in answer.err
    assert answer.err.count("\n") == 1
    assert "secret" not in answer.err


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
