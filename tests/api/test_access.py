"""Who gets in: tokens, scopes, host names, other sites' pages; the headers of every answer."""

import pytest

from api.app import create_app
from api.guard import SECURITY_HEADERS
from beholder.errors import InvalidInput, ServiceUnavailable
from beholder.jobs.models import utc_now
from beholder.jobs.workers import WorkerView, beat
from beholder.settings import Settings
from beholder.store import Store
from beholder.tokens import Tokens, check_bind, make_token

pytestmark = pytest.mark.slow  # with real servers or files; seconds in all


@pytest.fixture
def tokens():
    return {scope: make_token(f"{scope}er", scope) for scope in ("read", "submit", "admin")}


@pytest.fixture
def guarded(start, tokens):
    return start(api_tokens=",".join(entry for _, entry in tokens.values()))


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "beholder.example"])
def test_any_other_bind_wants_tokens(host):
    with pytest.raises(InvalidInput, match="set BEHOLDER_API_TOKENS"):
        create_app(Settings(api_host=host))
    check_bind(Settings(api_host=host, api_tokens=make_token("a", "read")[1]))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_none(host):
    check_bind(Settings(api_host=host))


TOKEN, ENTRY = make_token("ada", "read")


@pytest.mark.parametrize(
    "entry",
    ["ada", "ada:root:" + "0" * 64, "ada:read:xyz", ":read:" + "0" * 64, TOKEN, f"{TOKEN}:read"],
)
def test_a_wrong_entry_is_refused_by_its_number(entry):
    with pytest.raises(InvalidInput, match="entry 2 is not NAME:SCOPE:HASH") as refused:
        Tokens(f"{ENTRY}, ,{entry}")
    assert TOKEN not in str(refused.value)


def test_the_setting_holds_no_token():
    token, entry = make_token("ada", "submit")
    assert token not in entry
    assert Tokens(entry).caller(token).name == "ada"
    assert Tokens(entry).caller(token + "x") is None
    assert entry not in repr(Settings(api_tokens=entry))


def test_scopes(guarded, tokens):
    def status(method, path, scope):
        return guarded.http.request(method, path, headers=bearer(tokens[scope][0])).status_code

    assert status("GET", "/v1/jobs", "read") == 200
    assert status("POST", "/v1/dreams", "read") == 403
    assert status("POST", "/v1/jobs/none/cancel", "submit") == 404
    assert status("DELETE", "/v1/jobs/none", "submit") == 403
    assert status("DELETE", "/v1/jobs/none", "admin") == 404


@pytest.mark.parametrize("headers", [{}, bearer("bhd_wrong"), {"Cookie": "beholder_token=x"}])
def test_without_a_known_token_nothing_is_told(guarded, tokens, monkeypatch, headers):
    for path in ("/v1/jobs", "/openapi.json", "/metrics", "/v1/none"):
        answer = guarded.http.get(path, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
    assert guarded.http.get("/healthz", headers=headers).status_code == 200

    def away(store, path):
        raise ServiceUnavailable("the store at /srv/beholder can't be used.")

    monkeypatch.setattr(Store, "exists", away)
    monkeypatch.setattr(type(guarded.services.queue), "length", lambda _: 0)  # not to wait for it
    answer = guarded.http.get("/readyz", headers=headers)
    told = "not ready: store, workers. With a token this says why."
    assert (answer.status_code, answer.json()["detail"]) == (503, told)
    known = guarded.http.get("/readyz", headers=bearer(tokens["read"][0])).json()["detail"]
    assert "the store at /srv/beholder can't be used." in known
    assert "no worker was heard of" in known


def test_readiness_is_told_to_all_but_not_of_how_many_workers(guarded, tokens, monkeypatch):
    now = utc_now()
    beat(guarded.services.db, WorkerView("host-1", "host", 1, "cpu", now, now, None, 0, 0.0, 0))
    monkeypatch.setattr(type(guarded.services.queue), "length", lambda _: 0)
    ready = dict.fromkeys(("status", "database", "queue", "store"), "ok")
    assert guarded.http.get("/readyz").json() == ready
    known = guarded.http.get("/readyz", headers=bearer(tokens["read"][0])).json()
    assert known == {**ready, "workers": 1}


def test_a_browser_signs_in_with_a_cookie(guarded, tokens):
    wrong = guarded.http.post("/session", data={"token": "bhd_wrong"})
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
    answer = guarded.http.post(
        "/session", data={"token": tokens["read"][0], "next": "//evil.example"}
    )
    cookie = answer.headers["set-cookie"].lower()
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert guarded.http.get("/v1/jobs").status_code == 200  # the client keeps the cookie
    assert guarded.http.delete("/session").status_code == 204
    assert guarded.http.get("/v1/jobs").status_code == 401


def test_a_browser_without_a_token_is_shown_the_form(guarded):
    answer = guarded.http.get("/jobs/abc", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/jobs/abc")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("evil.example:8321", 421),
        ("localhost:1", 200),
        ("[::1]:8321", 200),
        ("Beholder.Lan", 200),
    ],
)
def test_other_names_that_lead_here_are_refused(start, host, status):
    server = start(api_hosts="beholder.lan, other.lan")
    answer = server.http.get("/v1/jobs", headers={"Host": host})
    assert answer.status_code == status
    if status != 200:
        assert answer.json()["detail"] == f"no host {host!r} here: add it to BEHOLDER_API_HOSTS."


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 404),
        ({}, 404),
    ],
)
def test_other_sites_pages_may_not_act(server, headers, status):
    assert server.http.post("/v1/jobs/none/cancel", headers=headers).status_code == status
    own = {"Origin": server.url}
    assert server.http.post("/v1/jobs/none/cancel", headers=own).status_code == 404


def test_every_answer_carries_the_headers(server):
    for path in ("/v1/jobs", "/v1/none", "/healthz", "/openapi.json", "/v1/jobs?limit=0"):
        answer = server.http.get(path)
        for name, value in SECURITY_HEADERS.items():
            assert answer.headers[name] == value
    assert (
        "access-control-allow-origin"
        not in server.http.get("/v1/jobs", headers={"Origin": "https://evil.example"}).headers
    )
