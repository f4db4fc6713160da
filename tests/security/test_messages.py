"""What others may put into the queue: no message runs code, and none ends a worker."""

import ast
import base64
import contextlib
import json
import os
import pickle
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
    until(lambda: client.hlen("unacked") == 0)  # none of them comes again
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


UNPICKLES = {
    "pickle",
    "_pickle",
    "marshal",
    "shelve",
    "dill",
    "joblib",
    "cloudpickle",
    "jsonpickle",
}
READERS = {"torch", "torch.load", "yaml", "yaml.load", "yaml.full_load", "yaml.unsafe_load"}


def unpickling(source):
    """What in a module would run what it reads, a line each."""
    for node in ast.walk(ast.parse(source)):
        for name, known_as in imported(node):
            if name.split(".")[0] in UNPICKLES:
                yield f"line {node.lineno}: imports {name}"
            if name in READERS and known_as != name:  # its calls would not be seen
                yield f"line {node.lineno}: imports {name} as {known_as}"
        if isinstance(node, ast.Call):
            name, given = ast.unparse(node.func), {one.arg: one.value for one in node.keywords}
            if name == "torch.load" and not is_true(given.get("weights_only")):
                yield f"line {node.lineno}: torch.load without weights_only=True"
            if name in READERS and name.startswith("yaml."):
                yield f"line {node.lineno}: {name}"
            if name.endswith(".read_pickle") or is_true(given.get("allow_pickle")):
                yield f"line {node.lineno}: {name} of a pickle"


def imported(node):
    """(full name, what it is called here) of all that an import statement brings."""
    lead = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
    names = node.names if isinstance(node, ast.Import | ast.ImportFrom) else []
    return [(lead + alias.name, alias.asname or alias.name) for alias in names]


def is_true(node):
    return isinstance(node, ast.Constant) and node.value is True


def test_nothing_unpickles():
    """The core, the worker, the API and the commands read no pickle: torch's reader is checked."""
    root = Path(__file__).parents[2]
    sources = [
        path
        for name in ("api", "beholder", "cli", "worker")
        for path in (root / name).rglob("*.py")
    ]
    assert len(sources) > 100
    texts = {path: path.read_text() for path in sources}
    assert "torch.load(" in "".join(texts.values())  # there is something to look at
    assert {
        str(path): found for path, text in texts.items() if (found := [*unpickling(text)])
    } == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, marshal as m",
        "def late():\n    from pickle import loads",
        "import shelve",
        "import joblib.numpy_pickle",
        "from cloudpickle import load",
        "import torch as t",
        "from torch import load",
        "torch.load(path)",
        "torch.load(\n    path,\n    map_location='cpu',\n)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=trusted)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "numpy.load(path, allow_pickle=True)",
        "pandas.read_pickle(path)",
    ],
)
def test_what_would_unpickle_is_seen(source):
    assert len([*unpickling(source)]) == 1


def test_what_does_not_unpickle_is_passed_over():
    source = (
        "import torch, json, numpy\nfrom torch import nn\nimport pickleball\n"
        "torch.load(\n    path,\n    weights_only=True,\n)\n"
        "safetensors.torch.load(data)\nyaml.safe_load(text)\nnumpy.load(path)\njson.load(file)\n"
    )
    assert [*unpickling(source)] == []
