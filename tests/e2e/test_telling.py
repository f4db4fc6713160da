"""What services tell of a job: JSON lines and a trace, from one run of real processes."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from beholder.traces import trace_ids
from tests.e2e.conftest import Machine, own_env

trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
pytestmark = pytest.mark.slow
PICTURES = 3


@dataclass
class Collector:
    """An OTLP collector on loopback: the spans that came, each with its service's name."""

    spans: list[tuple[str, Any]] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        request = trace_service.ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            named = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(named["service.name"], span) for span in scope.spans]


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, str]]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                collector.take(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield collector, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@dataclass
class Told:
    """A job of `PICTURES` pictures and a broken one, run to its end; all that was said of it."""

    job: str
    study: str
    over_http: str
    feature: str  # queued by `features`, and not run
    lines: dict[str, list[str]]
    spans: list[tuple[str, Any]]

    def parsed(self, program: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines[program]]

    def trace(self, job: str) -> dict[str, list[Any]]:
        """A job's spans, by name."""
        trace_id = trace_ids(job)[0].to_bytes(16)
        found: dict[str, list[Any]] = {}
        for service, span in self.spans:
            if span.trace_id == trace_id:
                found.setdefault(f"{service} {span.name}", []).append(span)
        return found


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory, collector: tuple[Collector, str]
) -> Iterator[Told]:
    home = tmp_path_factory.mktemp("telling")
    env = own_env(home, network="specimens", sweep_s=1, log="json")
    env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector[1], "OTEL_BSP_SCHEDULE_DELAY": "100"}
    machine = Machine(home, env)
    pictures = home / "pictures"
    pictures.mkdir()
    for seed in range(PICTURES):
        _draw(pictures / f"{seed}.png", seed)
    up = machine.up(page=True)
    try:
        _draw(pictures / "9-cut.png", 9)
        options = ("--layer", 12, "--steps", 3, "--size", 64)
        job = machine.json("submit", "--dir", pictures, "--priority", "low", *options)["id"]
        study = machine.json("study", "--dir", pictures, "--size", 64)["id"]
        with httpx.Client(base_url=f"http://127.0.0.1:{env['BEHOLDER_API_PORT']}") as client:
            spec = {"layers": [5], "steps": 2, "size": 64, "noise": 1}
            answer = client.post("/v1/dreams", json={"spec": spec})
        assert answer.status_code == 201, answer.text
        for one in (job, study, answer.json()["id"]):
            machine.ended(one)
        machine.kill(*machine.children())
        machine.until(lambda: "signal 9" in machine.log("worker"), timeout_s=30)
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)
    feature = machine.json("features", study, "--limit", 1)[0]["job"]
    lines = {name: machine.log(name).splitlines() for name in ("worker", "api")}
    lines["up"] = (home / "0-up.log").read_text().splitlines()
    yield Told(job, study, answer.json()["id"], feature, lines, collector[0].spans)
    machine.stop()


def _draw(path: Path, seed: int) -> None:
    from beholder.specimens.draw import draw

    draw("spiral", seed=seed, size=64).save(path)


@pytest.mark.parametrize("program", ["worker", "api", "up"])
def test_every_line_is_an_object(told: Told, program: str) -> None:
    lines = told.parsed(program)
    assert lines
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert line["level"] in ("info", "warning", "error", "critical")
        assert line["logger"]
        assert line["message"]


def test_lines_say_what_they_are_about(told: Told) -> None:
    lines = told.parsed("worker")
    assert all(line["worker"] for line in lines)
    libraries = {line["logger"].partition(".")[0] for line in lines}
    assert "celery" in libraries
    assert {line["logger"].partition(".")[0] for line in told.parsed("api")} >= {"uvicorn"}
    done = [line for line in lines if line["message"].endswith(": done")]
    assert {line["job"] for line in done} == {told.job, told.study, told.over_http}
    assert all(isinstance(line["chunk"], int) for line in done)
    children = {line["worker"] for line in done}
    assert len(children) == 1
    assert children != {lines[0]["worker"]}  # the parent has a name of its own


def test_a_job_is_one_trace_from_its_submission_to_its_files(told: Told) -> None:
    trace = told.trace(told.job)
    (submit,) = trace["beholder submit"]
    assert submit.span_id == trace_ids(told.job)[1].to_bytes(8)
    assert not submit.parent_span_id
    names = {"claim", "prepare", "decode", "compute", "store", "finish"}
    assert set(trace) == {"beholder submit", *(f"beholder-worker {name}" for name in names)}
    for name, spans in trace.items():
        assert name.endswith("submit") or {one.parent_span_id for one in spans} == {submit.span_id}
    stored = [_attributes(span) for span in trace["beholder-worker store"]]
    assert sorted(one["beholder.item"] for one in stored) == list(range(PICTURES + 1))
    assert {one["beholder.job"] for one in stored} == {told.job}
    begun = {name: min(one.start_time_unix_nano for one in spans) for name, spans in trace.items()}
    order = [begun[f"beholder-worker {name}"] for name in ("claim", "decode", "compute", "store")]
    assert [submit.start_time_unix_nano, *order] == sorted([submit.start_time_unix_nano, *order])
    for spans in trace.values():
        assert all(one.start_time_unix_nano <= one.end_time_unix_nano for one in spans)


def test_studies_and_jobs_over_http_have_traces_too(told: Told) -> None:
    study = told.trace(told.study)
    stages = {_attributes(span)["beholder.stage"] for span in study["beholder-worker finish"]}
    assert stages == {"measure", "choose", "classify"}
    assert len(told.trace(told.over_http)["beholder-api submit"]) == 1
    feature = told.trace(told.feature)
    assert {name: len(spans) for name, spans in feature.items()} == {"beholder submit": 1}


def test_without_a_collector_nothing_is_imported(tmp_path: Path) -> None:
    """Nothing that makes spans or sends them; redis-py imports some of OpenTelemetry by itself."""
    script = (
        "import sys; from cli.main import run\n"
        "try: run()\n"
        "except SystemExit as ended: assert not ended.code\n"
        "names = {'beholder.otlp', 'opentelemetry.exporter', 'opentelemetry.sdk.trace'}\n"
        "print('loaded', *names & set(sys.modules))"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    ended = subprocess.run(
        [sys.executable, "-c", script, "submit", "--noise", "1", "--json"],
        env={**env, "BEHOLDER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout.splitlines()[-1] == "loaded", ended.stdout + ended.stderr


def test_a_collector_that_is_away_holds_nobody_up(tmp_path: Path) -> None:
    def took(**more: str) -> float:
        begun = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-m", "cli", "submit", "--noise", "1"],
            env=own_env(tmp_path) | more,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert "Traceback" not in ended.stderr
        return time.monotonic() - begun

    away = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    took()  # makes the database
    assert took(**away, OTEL_EXPORTER_OTLP_TIMEOUT="1") < 3 * took() + 10


def _attributes(span: Any) -> dict[str, Any]:
    return {
        one.key: one.value.int_value if one.value.HasField("int_value") else one.value.string_value
        for one in span.attributes
    }
