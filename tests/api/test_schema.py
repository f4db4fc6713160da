"""The OpenAPI document: every route explained, and whatever fits it never breaks the server."""

import json
import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from beholder.jobs.models import utc_now
from beholder.jobs.workers import WorkerView, beat
from beholder.settings import Settings

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
DOCUMENT = create_app(Settings()).openapi()
OPERATIONS = [(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods]
MAX_EXAMPLES = 30 if "FUZZ_SECONDS" in os.environ else 8  # of each route


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_route_is_explained(method, path):
    operation = DOCUMENT["paths"][path][method]
    assert operation["summary"]
    assert operation["tags"]
    good = [status for status in operation["responses"] if status.startswith(("2", "3"))]
    assert good
    for status, answer in operation["responses"].items():
        for kind, content in answer.get("content", {}).items():
            if kind in ("application/json", "application/problem+json") and status != "200":
                assert "example" in content or "schema" in content, (path, status)
    if method != "head":
        contents = [operation["responses"][status].get("content", {}) for status in good]
        examples = [kind.get("example") for one in contents for kind in one.values()]
        assert any(examples) or not any("application/json" in one for one in contents), path


def test_routes_have_names_of_their_own():
    names = [DOCUMENT["paths"][path][method]["operationId"] for method, path in OPERATIONS]
    assert len(names) == len(set(names))


def test_every_error_is_a_problem():
    for method, path in OPERATIONS:
        for status, answer in DOCUMENT["paths"][path][method]["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], (path, status)


@pytest.mark.slow
@pytest.mark.fuzz
def test_nothing_that_fits_the_document_breaks_the_server(server, monkeypatch):
    monkeypatch.setattr(type(server.services.queue), "length", lambda _: 0)
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        now = utc_now()  # /readyz misses a worker that has been silent for a few seconds
        beat(server.services.db, WorkerView("w", "host", 1, "cpu", now, now, None, 0, 0.0, None))
        here = _something_there(server, operation)
        _attempt(operation, here)
        tried += 1
    assert tried == len(OPERATIONS)


def _attempt(operation, here) -> None:
    """What the document allows, and then the same of something that is there."""

    @settings(
        max_examples=MAX_EXAMPLES,
        deadline=None,
        derandomize="FUZZ_SECONDS" not in os.environ,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def attempt(case):
        _call(case)
        if here:  # what was made up is seldom there
            case.path_parameters = {**case.path_parameters, **here}
            _call(case)

    attempt()


def _call(case):
    case.validate_response(case.call(timeout=10), checks=CHECKS)


def _something_there(server, operation) -> dict[str, object]:
    """What an operation's path can name that is really there."""
    if "{job_id}" in operation.path:
        job = server.study() if "/studies/" in operation.path else server.dream()
        server.work(job["id"])
        return {"job_id": job["id"]} | (
            {"position": 0, "step": 3} if "{step}" in operation.path else {}
        )
    if "{sha256}" in operation.path:
        job = server.dream()
        items = server.http.get(f"/v1/jobs/{job['id']}/items").json()["items"]
        return {"sha256": items[0]["picture_sha256"]}
    if "{upload_id}" in operation.path:
        body = {"bytes": 100, "sha256": "0" * 64}
        return {"upload_id": server.http.post("/v1/uploads", json=body).json()["id"]}
    return {}


def test_the_document_is_json_that_says_its_version(server):
    document = json.loads(server.http.get("/openapi.json").text)
    assert document["openapi"].startswith("3.")
