"""The proxy of docs/deployment.md, as it stands there but for its port and TLS, before a server."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from beholder.errors import InvalidInput
from beholder.jobs.schema import upgrade
from beholder.jobs.spool import StoredPicture
from beholder.settings import Settings
from beholder.tokens import make_token
from cli.desk.sending import PIECE, Sender
from cli.desk.wire import Wire
from tests.api.conftest import serving
from tests.cli.line import noise
from tests.deploy.compose import ROOT

pytestmark = pytest.mark.slow
TOKEN, ENTRY = make_token("ada", "admin")


@pytest.fixture
def proxied(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """nginx's address. The parameter is left out of its settings."""
    if shutil.which("nginx") is None:
        pytest.skip("no nginx here")
    upgrade(f"sqlite:///{tmp_path}/beholder.db")
    with serving(Settings(home=tmp_path, server=None, api_tokens=ENTRY)) as behind:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        path = tmp_path / "nginx.conf"
        path.write_text(_settings(tmp_path, port, behind.url).replace(_left_out(request), ""))
        running = subprocess.Popen(["nginx", "-p", tmp_path, "-e", "error.log", "-c", path])
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            running.terminate()
            running.wait(10)


def _left_out(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", "\0"))


def _settings(folder: Path, port: int, behind: str) -> str:
    text = (ROOT / "docs/deployment.md").read_text()
    (block,) = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    block = re.sub(r" +ssl_certificate.*\n", "", block)
    for said, here in (("443 ssl", f"127.0.0.1:{port}"), ("http://127.0.0.1:8321", behind)):
        assert said in block
        block = block.replace(said, here)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    own = "".join(f"{kind}_temp_path {folder}/nginx;\n" for kind in kinds)
    return (
        f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{own}{block}}}\n"
    )


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A picture that goes in two pieces."""
    file = tmp_path / "large.png"
    file.write_bytes(noise(1, side=1300))
    assert file.stat().st_size > PIECE
    return file


def test_the_proxy_lets_pass_what_it_should(proxied: str, large: Path) -> None:
    assert _sent(proxied, large).bytes == large.stat().st_size
    signing = {"data": {"token": TOKEN}, "headers": {"Origin": proxied}}
    assert httpx.post(f"{proxied}/session", **signing).status_code == 303
    foreign = {"data": {"token": TOKEN}, "headers": {"Origin": "https://other.example"}}
    assert httpx.post(f"{proxied}/session", **foreign).status_code == 403


@pytest.mark.parametrize("proxied", ["client_max_body_size 0;"], indirect=True)
def test_a_proxy_with_a_limit_of_its_own_is_told_from_the_server(proxied: str, large: Path) -> None:
    with pytest.raises(InvalidInput, match="says 413: let it pass bodies of any size"):
        _sent(proxied, large)


@pytest.mark.parametrize(("named", "secure"), [("127.0.0.0/30", True), ("10.0.0.1", False)])
def test_the_cookie_is_for_tls_alone_where_the_proxy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, secure: bool
) -> None:
    """Which has another address than uvicorn's own choice, as a container sees it."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", named)
    upgrade(f"sqlite:///{tmp_path}/beholder.db")
    proxy = httpx.HTTPTransport(local_address="127.0.0.2")
    headers = {"Host": "localhost", "Origin": "https://localhost", "X-Forwarded-Proto": "https"}
    with (
        serving(Settings(home=tmp_path, server=None, api_tokens=ENTRY)) as behind,
        httpx.Client(transport=proxy) as client,
    ):
        signed = client.post(f"{behind.url}/session", data={"token": TOKEN}, headers=headers)
    assert signed.status_code == 303
    assert ("Secure" in signed.headers["set-cookie"]) is secure


def _sent(url: str, file: Path) -> StoredPicture:
    return Sender(Wire(url, TOKEN), max_pixels=10_000_000, max_bytes=64 << 20).take_one(file)
