"""The OpenAPI document: every route explained, and whatever fits it never breaks the server."""

import json

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
MAX_EXAMPLES = 25


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
def test_nothing_that_fits_the_document_breaks_the_server(server, monkeypatch):
    now = utc_now()
    beat(server.services.db, WorkerView("w", "host", 1, "cpu", now, now, None, 0, 0.0, None))
    monkeypatch.setattr(type(server.services.queue), "length", lambda _: 0)
    server.work(server.dream()["id"])
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=MAX_EXAMPLES,
            deadline=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def attempt(case):
            answer = case.call(timeout=10)
            case.validate_response(answer, checks=CHECKS)

        attempt()
        tried += 1
    assert tried == len(OPERATIONS)


def test_the_document_is_json_that_says_its_version(server):
    document = json.loads(server.http.get("/openapi.json").text)
    assert document["openapi"].startswith("3.")
