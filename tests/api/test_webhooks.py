"""Webhooks to a real server: signed, tried again, given up, and never to private places."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from sqlalchemy import update

from api.addresses import check_url
from api.webhooks import deliver, signature
from beholder.errors import InvalidInput
from beholder.jobs.hooks import DELAYS_S, DueHook, due_hooks
from beholder.jobs.service_models import Webhook

pytestmark = pytest.mark.slow  # with real servers or files; seconds in all


class Receiver:
    """A server that notes what it is sent, and answers with `statuses` in turn, then 200."""

    def __init__(self):
        self.received, self.statuses = [], []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                receiver.received.append((dict(self.headers), self.path, body))
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                self.send_response(status)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?x=1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def open_server(start):
    """A server that allows private addresses; tests send, not its background task."""
    server = start(webhook_private=True)
    server.services.sender._task.cancel()
    return server


def submit(server, url):
    hook = {"url": url, "secret": "s3cret"}
    return server.dream(1, webhook=json.dumps(hook))


def pass_time(server, seconds):
    """So long has passed, for those who wait to send."""
    with server.services.db.write() as session:
        session.execute(update(Webhook).values(next_at=Webhook.next_at - seconds))


def test_the_end_of_a_job_is_told_once_and_signed(open_server, receiver):
    job = submit(open_server, receiver.url)
    sender = open_server.services.sender
    assert sender.send_due() == 0  # it still runs
    open_server.work(job["id"])
    assert [sender.send_due(), sender.send_due()] == [1, 0]
    ((headers, path, body),) = receiver.received
    assert path == "/hook?x=1"
    assert json.loads(body)["job"] == open_server.http.get(f"/v1/jobs/{job['id']}").json()
    assert headers["Beholder-Signature"] == signature("s3cret", headers["Beholder-Timestamp"], body)
    assert headers["Beholder-Delivery"].startswith(f"{job['id']}-2")
    assert headers["Beholder-Attempt"] == "1"


def test_it_is_tried_again_with_patience_then_given_up(open_server, receiver):
    receiver.statuses = [500, 302] + 20 * [503]
    job = submit(open_server, receiver.url)
    open_server.work(job["id"])
    sender = open_server.services.sender
    for delay in DELAYS_S:
        assert sender.send_due() == 1
        assert sender.send_due() == 0
        pass_time(open_server, delay + 1)
    assert sender.send_due() == 1
    pass_time(open_server, 10 * DELAYS_S[-1])
    assert sender.send_due() == 0
    assert len(receiver.received) == len(DELAYS_S) + 1
    assert len({headers["Beholder-Delivery"] for headers, *_ in receiver.received}) == 1
    attempts = [headers["Beholder-Attempt"] for headers, *_ in receiver.received]
    assert attempts == [str(number + 1) for number in range(len(DELAYS_S) + 1)]
    with open_server.services.db.read() as session:
        hook = session.get_one(Webhook, job["id"])
    assert (hook.state, hook.error.endswith("answered 503")) == ("failed", True)


@pytest.mark.parametrize("hours", [(1, 0), (0, -1)])
def test_a_clock_that_is_off_holds_nothing_up(open_server, receiver, monkeypatch, hours):
    """The first attempt's clock is ahead of the second's, by an hour."""
    monkeypatch.setattr("beholder.jobs.hooks.DELAYS_S", (5.0,))
    receiver.statuses = [500]
    job = submit(open_server, receiver.url)
    open_server.work(job["id"])
    real = time.time
    for off in hours:
        with monkeypatch.context() as clock:
            clock.setattr("time.time", lambda off=off: real() + 3600 * off)
            assert open_server.services.sender.send_due() == 1
            assert open_server.services.sender.send_due() == 0
        pass_time(open_server, 6)
    times = [int(headers["Beholder-Timestamp"]) for headers, *_ in receiver.received]
    assert times[0] - times[1] > 3000  # they were different clocks
    assert hook_of(open_server, job).state == "delivered"


def test_a_job_that_runs_again_is_told_again(open_server, receiver):
    job = submit(open_server, receiver.url)
    open_server.http.post(f"/v1/jobs/{job['id']}/cancel")
    assert open_server.services.sender.send_due() == 1
    open_server.http.post(f"/v1/jobs/{job['id']}/retry")
    assert open_server.services.sender.send_due() == 0
    open_server.work(job["id"])
    assert open_server.services.sender.send_due() == 1
    assert [json.loads(body)["job"]["state"] for *_, body in receiver.received] == [
        "cancelled",
        "done",
    ]
    ends = [headers["Beholder-Delivery"] for headers, *_ in receiver.received]
    assert len(set(ends)) == 2, "whoever drops doubles would drop the second end"


@pytest.fixture
def between(monkeypatch):
    """Have something happen between a sender's taking of hooks and its sending."""

    def install(act):
        def taking(*given, **options):
            taken = due_hooks(*given, **options)
            if taken:
                act()
            return taken

        monkeypatch.setattr("api.webhooks.due_hooks", taking)

    return install


def test_a_job_that_runs_again_before_it_was_told_tells_its_real_end(
    open_server, receiver, between
):
    job = submit(open_server, receiver.url)
    open_server.http.post(f"/v1/jobs/{job['id']}/cancel")
    sender = open_server.services.sender
    between(lambda: open_server.http.post(f"/v1/jobs/{job['id']}/retry"))
    assert sender.send_due() == 1
    assert receiver.received == [], "it has not ended"
    between(lambda: None)
    open_server.work(job["id"])
    assert sender.send_due() == 1
    ((headers, _, body),) = receiver.received
    assert json.loads(body)["job"]["state"] == "done"
    assert headers["Beholder-Attempt"] == "1"


@pytest.mark.parametrize("status", [200, 500])
def test_a_job_that_is_retried_while_its_end_is_told_tells_the_next(
    open_server, receiver, monkeypatch, status
):
    job = submit(open_server, receiver.url)
    open_server.http.post(f"/v1/jobs/{job['id']}/cancel")
    receiver.statuses = [status]

    def sending(*given, **options):
        open_server.http.post(f"/v1/jobs/{job['id']}/retry")
        deliver(*given, **options)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr("api.webhooks.deliver", sending)
        assert open_server.services.sender.send_due() == 1
    assert (hook_of(open_server, job).state, hook_of(open_server, job).attempts) == ("waiting", 0)
    open_server.work(job["id"])
    assert open_server.services.sender.send_due() == 1
    states = [json.loads(body)["job"]["state"] for *_, body in receiver.received]
    assert states == ["cancelled", "done"]


def test_the_server_sends_by_itself(start, receiver):
    server = start(webhook_private=True)
    job = submit(server, receiver.url)
    server.work(job["id"])
    deadline = time.monotonic() + 10
    while not receiver.received and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6379/",
        "http://localhost/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "ftp://example.org/",
        "http://user:pass@example.org/",
        "http://example.org:99999/",
        "http:///nohost",
        "http://:secret@example.org/",
        "http://[::1",
        "http://[x]/",
        "http://a..b/",
        f"http://{70 * 'a'}.example/",
        "http://exämple.org/",
        "http://example.com/é",
        "http://./",
        "http://127.0.0.1./",
        "http://localhost./",
        "http://api.localhost/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[::127.0.0.1]/",
    ],
)
def test_private_places_are_refused_at_once(server, url):
    with pytest.raises(InvalidInput):
        check_url(url, private=False)
    body = {"spec": {"noise": 1}, "webhook": {"url": url}}
    assert server.http.post("/v1/dreams", json=body).status_code == 422


def test_a_name_that_leads_to_a_private_place_is_refused_when_it_is_looked_up(
    open_server, receiver, monkeypatch
):
    job = submit(open_server, receiver.url.replace("127.0.0.1", "public.example"))
    open_server.work(job["id"])
    port = int(receiver.url.split(":")[2].split("/")[0])
    monkeypatch.setattr(
        "api.webhooks.socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("127.0.0.1", port))]
    )
    monkeypatch.setattr(open_server.services.sender, "_private", False)
    assert open_server.services.sender.send_due() == 1
    assert receiver.received == []
    with open_server.services.db.read() as session:
        assert "is no public address" in session.get_one(Webhook, job["id"]).error


# In a network of its own, where the loopback device gets an address that is anybody's.
_WITH_AN_ADDRESS = """
import fcntl, socket, struct
from api.addresses import is_public
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    fcntl.ioctl(probe, 0x8914, struct.pack("16sH22x", b"lo", 1))  # SIOCSIFFLAGS: up
    assert is_public("1.1.1.1")
    own = struct.pack("16sH2x4s16x", b"lo", socket.AF_INET, socket.inet_aton("1.1.1.1"))
    fcntl.ioctl(probe, 0x8916, own)  # SIOCSIFADDR
assert not is_public("1.1.1.1")
assert not is_public("::ffff:1.1.1.1")
assert is_public("9.9.9.9")
assert is_public("2606:4700:4700::1111")
"""


def test_the_servers_own_addresses_are_refused_though_they_are_global():
    apart = ["unshare", "--user", "--map-root-user", "--net"]
    if not shutil.which("unshare") or subprocess.run([*apart, "true"], check=False).returncode:
        pytest.skip("a network of its own needs user namespaces")
    subprocess.run([*apart, sys.executable, "-c", _WITH_AN_ADDRESS], check=True, timeout=60)


def test_public_places_are_not_refused():
    for url in (
        "https://example.org./x?y=%C3%A9",
        "http://xn--exmple-cua.org:8080",
        "http://1.1.1.1",
    ):
        check_url(url, private=False)
    for url in ("http://hook_1/", "http://0x7f.1/", "http://[::1]:9/"):
        check_url(url, private=True)


def hook_of(server, job):
    with server.services.db.read() as session:
        return session.get_one(Webhook, job["id"])


def set_url(server, job, url):
    with server.services.db.write() as session:
        session.get_one(Webhook, job["id"]).url = url


def test_a_bad_address_costs_only_itself(open_server, receiver):
    bad = ("http://a..b/", f"http://{70 * 'a'}/", "http://example.com/\u00e9")
    jobs = [submit(open_server, receiver.url) for _ in range(4)]
    for job, url in zip(jobs, bad, strict=False):
        set_url(open_server, job, url)  # as it was kept before addresses were looked at
    for job in jobs:
        open_server.work(job["id"])
    assert open_server.services.sender.send_due() == 4
    assert len(receiver.received) == 1
    for job in jobs[:3]:
        hook = hook_of(open_server, job)
        assert (hook.state, hook.attempts, hook.error.startswith("webhook: ")) == (
            "waiting",
            1,
            True,
        )


def test_what_nobody_foresaw_runs_out_of_attempts(open_server, receiver, monkeypatch):
    def fail(*_, **__):
        raise UnicodeError("label too long")

    job = submit(open_server, receiver.url)
    open_server.work(job["id"])
    monkeypatch.setattr("api.webhooks.socket.getaddrinfo", fail)
    sender = open_server.services.sender
    for delay in (*DELAYS_S, 0):
        assert sender.send_due() == 1
        pass_time(open_server, delay + 1)
    pass_time(open_server, 10 * DELAYS_S[-1])
    assert sender.send_due() == 0
    hook = hook_of(open_server, job)
    assert (hook.state, hook.error) == ("failed", "label too long")


def test_the_longest_due_goes_first(open_server, receiver):
    jobs = [submit(open_server, receiver.url) for _ in range(6)]
    for age, job in enumerate(jobs):
        open_server.work(job["id"])
        with open_server.services.db.write() as session:
            session.get_one(Webhook, job["id"]).next_at = 100.0 - age
    sender = open_server.services.sender
    assert [sender.send_due(), sender.send_due()] == [4, 2]
    sent = [json.loads(body)["job"]["id"] for *_, body in receiver.received]
    assert sent == [job["id"] for job in reversed(jobs)]


def test_an_answer_that_trickles_in_is_broken_off(monkeypatch):
    monkeypatch.setattr("api.webhooks.TOTAL_S", 0.3)

    def trickle(listening):
        taken, _ = listening.accept()
        with taken, contextlib.suppress(OSError):
            while True:
                taken.sendall(b"HTTP/1.1 "[:1])
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=trickle, args=(listening,), daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        started = time.monotonic()
        with pytest.raises(TimeoutError, match=r"no answer within 0\.3 s"):
            deliver(DueHook("job", url, "", 1, 0.0), "{}", end="job-1", private=True)
    assert time.monotonic() - started < 5
