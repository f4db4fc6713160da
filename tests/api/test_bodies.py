"""What bodies of requests may take: memory, all together, and time; each of them once."""

import asyncio
import json
import re
import socket
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from api import intake
from api.bodies import FREE_BYTES, MAX_JSON_BYTES, PARSED, ROOM_BYTES, Room, memory_of
from api.multipart import MAX_FIELD_BYTES, MAX_TEXT_BYTES
from api.problems import RoomTaken
from beholder.protocol import LINES
from beholder.settings import Settings

pytestmark = pytest.mark.slow  # with real servers
FILE = Settings().upload_file_bytes
MULTIPART = "multipart/form-data; boundary=x"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
FIELDS = PARSED * 2 * MAX_FIELD_BYTES  # of JSON
BOTH = "a length of 1, and chunks"
FIELD = b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n'


def begun(server, path, body, *, method="POST", kind="image/png", size=1 << 14, headers=""):
    """A connection over which a request of `size` bytes has begun to come."""
    line = socket.create_connection(("127.0.0.1", httpx.URL(server.url).port), timeout=10)
    line.sendall(
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {size}\r\n{headers}\r\n".encode()
        + body
    )
    return line


def rest_of(line):
    """All that comes until the server ends the connection."""
    return b"".join(iter(lambda: line.recv(1 << 16), b"")).decode()


def on_a_loop(act):
    """What a coroutine returns, in a thread: a browser's tests leave a loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(act())).result(10)


def test_a_room_is_taken_in_turn_and_never_over_its_size(monkeypatch):
    taken, order, most = 0, [], 0

    async def take(room, amount):
        nonlocal taken, most
        async with room.taken(amount):
            order.append(amount)
            taken += min(amount, 10)
            most = max(most, taken)
            await asyncio.sleep(0.01)
            taken -= min(amount, 10)

    async def act():
        room = Room(10)
        await asyncio.gather(*(take(room, amount) for amount in (6, 9, 1, 2, 99, 0, 3)))
        monkeypatch.setattr("api.bodies.WAIT_S", 0.05)
        async with room.taken(8), room.taken(2):
            with pytest.raises(RoomTaken, match="try again later"):
                await take(room, 1)
        await take(room, 10)  # whoever gave up left nothing behind

    on_a_loop(act)
    assert (order, most) == ([6, 0, 9, 1, 2, 99, 3, 10], 10)


@pytest.mark.parametrize(
    ("path", "kind", "size", "memory"),
    [
        ("/v1/jobs/x/cancel", JSON, 8 << 10, 0),  # an order to stop waits for nobody
        ("/session", FORM, 8 << 20, 0),  # of which no more is read than is free
        ("/session", FORM, None, 0),
        ("/v1/pictures/missing", JSON, 1 << 20, PARSED << 20),
        ("/v1/pictures/missing", JSON, None, PARSED * MAX_JSON_BYTES),
        ("/v1/dreams", JSON, 1 << 40, PARSED * MAX_JSON_BYTES),
        ("/v1/studies", f"{LINES}; charset=utf-8", None, 0),
        ("/v1/pictures/missing", LINES, 1 << 20, PARSED << 20),
        ("/v1/pictures", LINES, None, FILE),
        ("/v1/pictures", LINES, BOTH, FILE),
        ("/session", FORM, BOTH, 0),
        ("/v1/pictures", JSON, 1 << 20, 1 << 20),
        ("/v1/uploads/0123456789abcdef", "x/y", None, 0),
        ("/v1/dreams", MULTIPART, 1 << 20, (1 << 20) + FIELDS),
        ("/new", LINES, None, FILE + MAX_TEXT_BYTES + FIELDS),
    ],
)
def test_what_a_body_may_take(path, kind, size, memory):
    headers = [(b"content-type", kind.encode())]
    if size is not None:
        length = 1 if size == BOTH else size
        headers += [(b"content-length", str(length).encode())]
    if size in (None, BOTH):
        headers += [(b"transfer-encoding", b"chunked")]
    scope = {"method": "POST", "path": path, "headers": headers}
    assert memory_of(scope, Settings()) == memory <= ROOM_BYTES


def test_what_needs_no_token_has_a_small_body(server):
    for path in ("/session", "/sign-in", "/healthz"):
        with begun(server, path, b"token=", kind=FORM, size=FREE_BYTES + 1) as line:
            assert line.recv(1 << 16).startswith(b"HTTP/1.1 413"), path  # before it has come
    for size, status in ((FREE_BYTES, 422), (FREE_BYTES + 1, 413)):
        body = b"token=" + b"x" * (size - 6)
        for content in (body, iter([body[:100], body[100:]])):
            answer = server.http.post("/session", content=content, headers={"Content-Type": FORM})
            assert answer.status_code == status, answer.text
    assert "this request may have 8,192 bytes" in answer.json()["detail"]


def test_bodies_that_stall_have_one_room_and_end(start, draw, monkeypatch):
    monkeypatch.setattr("api.guard.ROOM_BYTES", 40_000)
    monkeypatch.setattr("api.bodies.WAIT_S", 0.1)
    monkeypatch.setattr("api.bodies.STALL_S", 1.0)
    server = start()
    large, small = draw(1, size=(400, 300), kind="BMP"), draw(2)
    with ExitStack() as stack:
        stalled = [begun(server, "/v1/pictures", large[:900]) for _ in range(2)]
        for line in stalled:
            stack.enter_context(line)
        time.sleep(0.1)
        refused = server.http.post("/v1/pictures", content=large)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert "all the memory that there is for their bodies" in refused.json()["detail"]
        assert server.http.post("/v1/pictures", content=small).status_code == 201
        assert server.http.get("/v1/jobs").status_code == 200
        for line in stalled:
            answer = rest_of(line)
            assert answer.startswith("HTTP/1.1 408")
            assert "1 s the longest pause. Send it again." in answer
            assert "connection: close" in answer.lower()
    assert server.http.post("/v1/pictures", content=large).status_code == 201


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/pictures", "image/png"),
        ("/v1/dreams", MULTIPART),
        ("/v1/dreams", LINES),
        ("/v1/dreams", JSON),
        ("/v1/pictures/missing", JSON),
        ("/new", MULTIPART),
    ],
)
def test_a_body_that_trickles_ends_and_one_that_is_slow_does_not(
    server, draw, monkeypatch, path, kind
):
    monkeypatch.setattr("api.bodies.STALL_S", 0.3)
    monkeypatch.setattr("api.bodies.LEAST_BYTES_S", 4_000)
    head = FIELD if kind == MULTIPART else b""

    def send(size, every_s):
        """So many bytes at a time, up to 6,000."""
        with begun(server, path, head, kind=kind, size=len(head) + 6_000) as line:
            line.settimeout(every_s)
            for sent in range(0, 6_000, size):
                line.sendall(min(size, 6_000 - sent) * b" ")
                try:
                    return line.recv(1 << 16).decode()
                except TimeoutError:
                    continue
            line.settimeout(10)
            return line.recv(1 << 16).decode()

    begun_at = time.monotonic()
    trickled = send(20, 0.05)
    assert trickled.startswith("HTTP/1.1 408"), trickled
    assert time.monotonic() - begun_at < 3
    assert re.match("HTTP/1.1 4(00|22)", send(600, 0.05))  # what came is none of these


def test_what_came_of_an_upload_that_stalls_is_kept(server, monkeypatch):
    monkeypatch.setattr("api.bodies.STALL_S", 0.2)
    asked = {"bytes": 9_000, "sha256": "0" * 64}
    url = server.http.post("/v1/uploads", json=asked).headers["location"]
    to = {"method": "PATCH", "size": 9_000, "headers": "Upload-Offset: 0\r\n"}
    with begun(server, url, bytes(700), **to) as line:
        assert rest_of(line).startswith("HTTP/1.1 408")
    assert server.http.head(url).headers["upload-offset"] == "700"


def test_a_stream_of_events_may_last(server, monkeypatch):
    monkeypatch.setattr("api.bodies.STALL_S", 0.2)
    job = server.dream(1)["id"]
    with begun(server, f"/v1/jobs/{job}/events", b"", method="GET", size=0) as line:
        line.settimeout(0.6)
        with pytest.raises(TimeoutError):  # else it ended
            rest_of(line)


@pytest.mark.parametrize("path", ["/v1/pictures", "/v1/dreams", "/new"])
def test_a_file_is_in_memory_once(server, path):
    """However many a request has."""
    picture = b"P6 2048 2048 255\n" + bytes(12 << 20)
    body = picture
    if path != "/v1/pictures":
        field = b'--x\r\nContent-Disposition: form-data; name="pictures"; filename="a.ppm"\r\n\r\n'
        body = 3 * (field + picture + b"\r\n") + b"--x--\r\n"
    pieces = [body[at : at + (1 << 16)] for at in range(0, len(body), 1 << 16)]
    tracemalloc.start()
    try:
        answer = server.http.post(path, content=iter(pieces), headers={"Content-Type": MULTIPART})
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code in (201, 303, 422), answer.text  # a form says no more than pictures
    assert len(picture) < most < 1.5 * len(picture)


def test_hashes_in_fields_take_no_more_than_they_are_counted_for(server, draw):
    here = server.http.post("/v1/pictures", content=draw(1)).json()["sha256"]
    field = b'--x\r\nContent-Disposition: form-data; name="pictures"\r\n\r\n'
    hashes = 12_000 * [here.encode()] + [b"0" * 64]
    body = b"".join(field + one + b"\r\n" for one in hashes) + b"--x--\r\n"
    headers = [(b"content-type", MULTIPART.encode()), (b"content-length", b"%d" % len(body))]
    counted = memory_of({"method": "POST", "path": "/v1/dreams", "headers": headers}, Settings())
    pieces = [body[at : at + (1 << 16)] for at in range(0, len(body), 1 << 16)]
    tracemalloc.start()
    try:
        answer = server.http.post(
            "/v1/dreams", content=iter(pieces), headers={"Content-Type": MULTIPART}
        )
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (answer.status_code, answer.json()["detail"][:10]) == (422, "no picture")
    assert len(body) // 2 < most < counted


def test_a_job_of_a_hundred_thousand_hashes_fits_and_is_parsed_beside_the_loop(server, monkeypatch):
    read, threads = intake.read_job, []

    def noted(*given):
        threads.append(threading.current_thread().name)
        return read(*given)

    monkeypatch.setattr(intake, "read_job", noted)
    body = json.dumps({"pictures": [f"{number:064x}" for number in range(100_000)]}).encode()
    answer = server.http.post("/v1/dreams", content=body, headers={"Content-Type": JSON})
    assert (answer.status_code, answer.json()["detail"][:10]) == (422, "no picture")
    assert [name.startswith("AnyIO worker") for name in threads] == [True]
    over = body + (MAX_JSON_BYTES + 1 - len(body)) * b" "
    answer = server.http.post("/v1/dreams", content=over, headers={"Content-Type": JSON})
    assert answer.status_code == 413
    assert "a JSON request may have 8,388,608 bytes" in answer.json()["detail"]
