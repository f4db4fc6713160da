"""Upload routes under broken input: never a 5xx, and nothing left behind that was refused."""

import os
import string
import tempfile
from pathlib import Path

import pytest
from hypothesis import strategies as st

pytestmark = [pytest.mark.slow, pytest.mark.fuzz]

_PICTURE = b"P6 2 2 255\n" + bytes(range(12))
_HEAD = b"Content-Disposition: form-data; name="
_PIECES = st.sampled_from(
    (
        b"--x\r\n",
        b"--x\r\n",
        b"--x--\r\n",
        b"\r\n",
        b"--x",
        _HEAD + b'"pictures"; filename="../../a.png"\r\n\r\n',
        _PICTURE,
        _PICTURE[:15],
        _HEAD + b'"pictures"\r\n\r\n',
        b"0" * 64,
        _HEAD + b'"spec"\r\n\r\n',
        b"{}",
        b'{"noise": 2}',
        b'{"network": "\\ud800"}',
        b'{"layers": [1e9]}',
        b"[" * 2000,
        b'{"seed": ' + b"9" * 5000 + b"}",
        b'{"network": ' + b"9" * 4000 + b"}",
        b"NaN",
        _HEAD + b'"name"\r\n\r\n',
        "\u202e\0".encode(),
        b"\xff",
        b'"\\ud800"',
        _HEAD + b'"webhook"\r\n\r\n',
        b'{"url": "http://[", "secret": "\\ud800"}',
        _HEAD + b'"targets"; filename=""\r\n\r\n',
    )
)
_BODIES = st.lists(_PIECES | st.binary(max_size=12), max_size=14).map(b"".join) | st.lists(
    st.tuples(_PIECES, _PIECES), max_size=5
).map(lambda pairs: b"".join(b"--x\r\n%b%b\r\n" % pair for pair in pairs) + b"--x--\r\n")
_KINDS = st.sampled_from(
    (
        *["multipart/form-data; boundary=x"] * 6,
        f"multipart/form-data; boundary={'x' * 257}",
        "application/json",
        "text/x",
    )
)
_ROUTES = st.sampled_from(("/v1/dreams", "/v1/studies", "/v1/pictures", "/v1/uploads"))


def kept(server):
    """Temporary files of this process, and what the server keeps that no row speaks of."""
    home = server.services.settings.home
    hidden = [path for path in home.rglob("*") if path.name.startswith(".")]
    opened = [os.readlink(f"/proc/self/fd/{fd}") for fd in _descriptors()]
    temporary = [path for path in opened if path.startswith(tempfile.gettempdir() + "/")]
    return len(hidden), len([path for path in temporary if "(deleted)" in path])


def _descriptors():
    return [fd for fd in os.listdir("/proc/self/fd") if Path(f"/proc/self/fd/{fd}").is_symlink()]


def test_no_body_breaks_a_route_or_leaves_a_file(server, fuzz):
    before = kept(server)

    def check(case):
        route, kind, body = case
        answer = server.http.post(route, content=body, headers={"Content-Type": kind})
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["detail"].isprintable()

    fuzz(check, st.tuples(_ROUTES, _KINDS, _BODIES), examples=150)
    assert kept(server) == before


def test_no_header_breaks_the_guard(start, fuzz):
    guarded = start(api_tokens="ada:submit:" + "0" * 64)
    printable = string.ascii_letters + string.digits + string.punctuation + " "
    values = st.text(printable + "\xe9\xff", max_size=30)
    names = st.sampled_from(
        ("Authorization", "Cookie", "Origin", "Host", "Content-Length", "Sec-Fetch-Site")
    )

    def check(headers):
        raw = [(name.encode(), value.strip().encode("latin-1")) for name, value in headers.items()]
        request = guarded.http.build_request("POST", "/v1/dreams", headers=raw)
        if any(name == b"Content-Length" for name, _ in raw):
            request.headers["Content-Length"] = "0"
        answer = guarded.http.send(request)
        assert 400 <= answer.status_code < 500

    fuzz(check, st.dictionaries(names, values, max_size=4), examples=80)


def test_pieces_of_an_upload_in_any_order(server, fuzz):
    def check(case):
        size, pieces = case
        made = server.http.post("/v1/uploads", json={"bytes": size, "sha256": "0" * 64}).json()
        for offset, body in pieces:
            answer = server.http.patch(
                f"/v1/uploads/{made['id']}", content=body, headers={"Upload-Offset": offset}
            )
            assert answer.status_code < 500, answer.text
        server.http.delete(f"/v1/uploads/{made['id']}")
        assert not (server.services.settings.home / "uploads" / made["id"]).exists()

    offsets = st.integers(-1, 40).map(str) | st.sampled_from(("", "x", "9" * 30, "1e3"))
    pieces = st.lists(st.tuples(offsets, st.binary(max_size=20)), max_size=4)
    fuzz(check, st.tuples(st.integers(1, 30), pieces), examples=40)
