"""Listing, showing, cancelling, retrying and deleting jobs."""

import pytest

from api.examples import CHANNEL, ITEM, JOB, LAYER, NETWORK, PICTURE_ROW, VERDICT
from beholder.catalogue import layer_rows, network_rows
from beholder.jobs.spool import StoredPicture
from beholder.jobs.views import ChannelView, ItemView, JobView, VerdictView, columns_of
from beholder.settings import Settings


def test_jobs_are_listed_newest_first_page_by_page(server):
    ids = [server.dream(1, name=f"job {n}")["id"] for n in range(5)]
    first = server.http.get("/v1/jobs?limit=3").json()
    assert [job["id"] for job in first["jobs"]] == ids[:1:-1]
    second = server.http.get("/v1/jobs", params={"limit": 3, "before": first["next"]}).json()
    assert [job["id"] for job in second["jobs"]] == ids[1::-1]
    assert second["next"] is None


def test_jobs_are_filtered_and_searched(server):
    dream, study = server.dream(name="Kelpies 100%"), server.study()
    server.http.post(f"/v1/jobs/{study['id']}/cancel")

    def found(**query):
        return [job["id"] for job in server.http.get("/v1/jobs", params=query).json()["jobs"]]

    assert found(kind="study") == found(state="cancelled") == [study["id"]]
    assert found(q="kelpies 1") == found(q="100%") == found(q=dream["id"][:6]) == [dream["id"]]
    assert found(q="0_") == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/jobs?limit=0", "limit: input should be greater than or equal to 1; got '0'"),
        ("/v1/jobs?state=lost", "state: input should be 'queued'"),
        ("/v1/jobs?before=x", "'x' is no place in the list of jobs"),
        ("/v1/jobs/..%2f..", "nothing at"),
        ("/v1/layers?network=resnet", "no network 'resnet'"),
    ],
)
def test_wrong_questions_get_a_sentence(server, path, words):
    answer = server.http.get(path)
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


def test_a_row_is_what_the_command_line_prints(server):
    job = server.dream()
    assert server.http.get(f"/v1/jobs/{job['id']}").json() == job
    assert server.http.get(f"/v1/jobs/{job['id'][:7]}").json() == job  # a beginning will do
    with_view = server.http.get(f"/v1/jobs/{job['id']}/items").json()["items"][0]
    assert list(with_view) == list(columns_of(ItemView))


def test_examples_have_the_rows_columns():
    settings = Settings()
    for shown, columns in (
        (JOB, columns_of(JobView)),
        (ITEM, columns_of(ItemView)),
        (VERDICT, columns_of(VerdictView)),
        (CHANNEL, columns_of(ChannelView)),
        (PICTURE_ROW, columns_of(StoredPicture)),
        (LAYER, tuple(layer_rows()[0])),
        (NETWORK, tuple(network_rows(settings)[0])),
    ):
        assert tuple(shown) == tuple(columns)
    assert layer_rows()[35] == LAYER


def test_items_page_by_position(server):
    job = server.dream(3)
    server.work(job["id"], failing=(1, 4))
    url = f"/v1/jobs/{job['id']}/items"
    first = server.http.get(url, params={"limit": 4}).json()
    second = server.http.get(url, params={"limit": 4, "after": first["next"]}).json()
    assert [one["position"] for one in first["items"] + second["items"]] == list(range(6))
    assert second["next"] is None
    failed = server.http.get(url, params={"state": "failed"}).json()["items"]
    assert [one["position"] for one in failed] == [1, 4]


def test_cancel_retry_delete(server):
    job = server.dream()
    url = f"/v1/jobs/{job['id']}"
    assert server.http.post(f"{url}/retry").json()["detail"].endswith("or cancel it.")
    refused = server.http.delete(url)
    assert (refused.status_code, refused.json()["title"]) == (409, "Conflict")
    assert refused.json()["detail"].endswith("cancel it before you delete it.")
    cancelled = server.http.post(f"{url}/cancel").json()
    assert (cancelled["state"], cancelled["cancelled"]) == ("cancelled", 4)
    assert server.http.post(f"{url}/cancel").status_code == 409
    again = server.http.post(f"{url}/retry").json()
    assert (again["state"], again["queued"]) == ("queued", 4)
    server.work(job["id"])
    root = server.services.store.local_path(f"results/{job['id']}")
    assert root is not None
    assert root.is_dir()
    assert server.http.delete(url).status_code == 204
    assert not root.exists()
    assert server.http.get(url).status_code == 404
    assert server.http.delete(url).status_code == 404


def test_a_bug_is_a_problem_without_a_traceback(server, monkeypatch):
    monkeypatch.setattr("api.routes.jobs.list_jobs", lambda *_, **__: 1 / 0)
    answer = server.http.get("/v1/jobs")
    assert (answer.status_code, answer.json()["title"]) == (500, "Error")
    assert "ZeroDivision" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_unknown_addresses_and_methods_are_problems(server):
    for answer, status in ((server.http.get("/v1/none"), 404), (server.http.put("/v1/jobs"), 405)):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
