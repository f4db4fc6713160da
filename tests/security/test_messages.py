"""What others may put into the queue: no message runs code, and none ends a worker."""

import base64
import contextlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from kombu import Connection

from beholder.jobs.schema import create_if_empty
from beholder.private_redis import redis_program, wait_until_ready
from beholder.settings import Settings
from worker.app import QUEUE, WORK, make_app
from worker.transport import Transport

BODY = json.dumps([[], {}, {}]).encode()


class Runs:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def envelope(body=BODY, kind="application/json", encoding="utf-8", task=WORK, **headers):
    """A message as Celery writes it, with this in it."""
    head = {"lang": "py", "task": task, "id": "x", "root_id": "x", "argsrepr": "", "kwargsrepr": ""}
    place = {"exchange": "", "routing_key": QUEUE}
    about = {"body_encoding": "base64", "delivery_tag": f"{time.time()}", "delivery_info": place}
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-type": kind,
            "content-encoding": encoding,
            "headers": {**head, **headers},
            "properties": {"correlation_id": "x", "priority": 0, **about},
        }
    )


def hostile(mark):
    """One of each: what runs code if anything reads it, what is no message, what is a wrong one."""
    yield envelope(pickle.dumps([[], {"x": Runs(mark)}, {}]), "application/x-python-serialize")
    yield envelope(
        f"!!python/object/apply:os.system ['touch {mark}']".encode(), "application/x-yaml"
    )
    yield pickle.dumps(Runs(mark))
    yield from (b"\xff\xfe", b"", b"[]", b'"x"', b"null", b"{}", b"[" * 100_000)
    yield envelope().replace('"properties"', '"other"')
    yield envelope().replace('"base64"', '"no such"')
    yield envelope(json.dumps([["x"], {"y": 1}, {}]).encode())
    yield envelope(b"{{{")
    yield envelope(b"[" * 100_000)
    yield envelope(json.dumps([["x" * (8 << 20)], {}, {}]).encode())
    yield envelope(task="os.system")
    yield envelope(task="celery.map")
    yield envelope(eta="never", expires=[], timelimit="x", shadow="x" * 10_000)
    yield envelope(compression="application/x-gzip")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A private Redis: (its settings, a client)."""
    place = tmp_path_factory.mktemp("server")
    settings = Settings(home=place / "home", network="specimens", sweep_s=1)
    socket, folder = settings.redis_socket, place / "redis"
    program = redis_program(socket, folder, log=place / "redis.log", env={})
    process = subprocess.Popen(program.command, stdout=subprocess.DEVNULL)
    try:
        wait_until_ready(socket)
        with redis.Redis(unix_socket_path=str(socket)) as client:
            yield settings, client
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def queue(server):
    """That, and a real worker on it: (client, the worker's process, its log)."""
    settings, client = server
    create_if_empty(settings.database)
    log = settings.home / "worker.log"
    env = {name: value for name, value in os.environ.items() if not name.startswith("BEHOLDER_")}
    env["BEHOLDER_HOME"] = str(settings.home)
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker"], env=env, stdout=out, stderr=out
        )
    try:
        until(lambda: "ready" in log.read_text())
        yield client, process, log
    finally:
        process.kill()
        process.wait()


def until(condition, timeout_s=60):
    ends = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.slow
def test_no_message_runs_code_or_ends_a_worker(queue, tmp_path):
    client, worker, log = queue
    mark = tmp_path / "ran"
    for message in hostile(mark):
        client.lpush(QUEUE, message)
        until(lambda: client.llen(QUEUE) == 0)  # taken, by the same worker
        assert worker.poll() is None, log.read_text()
    said = len(log.read_text())
    client.lpush(QUEUE, envelope(id="a-good-one"))
    until(lambda: "a-good-one" in log.read_text()[said:])
    assert not mark.exists()
    assert client.hlen("unacked") == 0  # none of them comes again
    assert "Refusing to deserialize untrusted content of type pickle" in log.read_text()
    assert "that is none of Beholder's (JSONDecodeError)" in log.read_text()


def other_type(client):
    client.set(QUEUE, "no list")
    yield
    client.delete(QUEUE)


def replica(client):
    client.replicaof("127.0.0.1", 1)  # of nobody: what a failover leaves behind
    yield
    client.replicaof("no", "one")


def unsaved(client):
    """As when its disk is full."""
    shutil.rmtree(client.config_get("dir")["dir"])
    client.config_set("save", "3600 1")
    client.bgsave()
    yield
    client.config_set("save", "")


@pytest.mark.slow
def test_a_redis_that_refuses_is_asked_now_and_then(queue):
    client, worker, log = queue
    for refuses in (other_type, replica, unsaved):
        seen = len(log.read_text())
        refusing = refuses(client)
        next(refusing)
        until(lambda: "Redis refuses" in log.read_text()[seen:])  # noqa: B023
        said, busy = len(log.read_text()), cpu_s(worker.pid)
        time.sleep(2)
        assert len(log.read_text()) - said < 1_500  # the sweep's lines
        assert cpu_s(worker.pid) - busy < 0.4
        next(refusing, None)
        good = f"good-after-{refuses.__name__}"
        until(lambda: sent(client, envelope(id=good)))  # noqa: B023
        until(lambda: good in log.read_text())  # noqa: B023
        assert log.read_text()[seen:].count("Redis refuses") <= 2  # "unblocked", then "read only"
    assert worker.poll() is None


def test_an_acknowledgement_that_redis_refuses_ends_nothing(server):
    settings, client = server
    with Connection(settings.broker) as connection:
        connection.transport_cls = Transport
        bells = connection.SimpleQueue("bells")
        bells.put("bell")
        message = bells.get(timeout=5)
        refusing = replica(client)
        next(refusing)
        message.ack()
        assert message.channel.qos.can_consume()
        next(refusing, None)


def sent(client, message):
    with contextlib.suppress(redis.ResponseError):  # it takes a moment to be itself again
        return client.lpush(QUEUE, message)


def cpu_s(pid):
    """Seconds of CPU time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_only_json_is_sent_and_taken():
    app = make_app("redis://127.0.0.1:1/0")
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"
    assert app.conf.result_backend is None
    assert not app.conf.worker_enable_remote_control  # no message stops a worker


def test_nothing_unpickles():
    """The core, the worker, the API and the commands read no pickle: torch's reader is checked."""
    root = Path(__file__).parents[2]
    sources = [
        path
        for name in ("api", "beholder", "cli", "worker")
        for path in (root / name).rglob("*.py")
    ]
    assert len(sources) > 100
    for path in sources:
        text = path.read_text()
        assert "import pickle" not in text
        assert "import marshal" not in text
        assert "allow_pickle=True" not in text
        for call in re.findall(r"(?<!safetensors\.)\btorch\.load\(.*", text):
            assert "weights_only=True" in call, path
