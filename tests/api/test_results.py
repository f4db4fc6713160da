"""Result pictures, thumbnails, input pictures, and the zip."""

import hashlib
import io
import json
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from api.archive import archive
from api.routes import results
from beholder.jobs.queries import get_job
from cli.context import Context
from cli.export import export_job


def test_a_result_is_the_png_with_a_tag_and_cached_for_good(server):
    job = server.dream()
    server.work(job["id"])
    file = server.http.get(f"/v1/jobs/{job['id']}/items").json()["items"][1]["files"][0]
    url = f"/v1/jobs/{job['id']}/items/1/pictures/{file['step']}"
    answer = server.http.get(url)
    assert hashlib.sha256(answer.content).hexdigest() == file["sha256"]
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["etag"] == f'"{file["sha256"]}"'
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    for tags in (answer.headers["etag"], f'"x", W/{answer.headers["etag"]}', "*"):
        again = server.http.get(url, headers={"If-None-Match": tags})
        assert (again.status_code, again.content) == (304, b"")
    assert server.http.get(url, headers={"If-None-Match": '"x"'}).status_code == 200
    head = server.http.head(url)
    assert (head.status_code, head.headers["etag"], head.content) == (
        200,
        f'"{file["sha256"]}"',
        b"",
    )


def test_thumbnails_are_small_webp_and_made_once(server, monkeypatch):
    job = server.dream()
    server.work(job["id"])
    url = f"/v1/jobs/{job['id']}/items/1/pictures/3?thumb=16"
    answer = server.http.get(url)
    assert answer.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(answer.content)).size == (16, 13)
    monkeypatch.setattr(type(server.services.store), "get", None)  # now only memory is left
    assert server.http.get(url).content == answer.content


def test_a_film_of_a_dreams_steps(server):
    job = server.dream()
    url = f"/v1/jobs/{job['id']}/items/1/film.webp"
    assert server.http.get(url).status_code == 409
    server.work(job["id"])
    answer = server.http.get(url, params={"fps": 4, "size": 24})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    film = Image.open(io.BytesIO(answer.content))
    film.seek(1)
    film.load()
    # Its steps look alike, and so are one picture for twice as long.
    assert (film.n_frames, film.info["duration"], max(film.size)) == (2, 500, 24)
    assert server.http.get(url, params={"fps": 0}).status_code == 422
    assert server.http.get(f"/v1/jobs/{job['id']}/items/99/film.webp").status_code == 404


@pytest.mark.slow
def test_films_are_made_one_at_a_time(server, monkeypatch):
    job = server.dream()
    server.work(job["id"])
    at_work, write = threading.Lock(), results.write_film

    def alone(*given, **options):
        assert at_work.acquire(blocking=False), "two at a time"
        try:
            time.sleep(0.05)
            write(*given, **options)
        finally:
            at_work.release()

    monkeypatch.setattr(results, "write_film", alone)
    url = f"/v1/jobs/{job['id']}/items/1/film.webp"
    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(server.http.get, url) for _ in range(4)]
    assert [answer.result().status_code for answer in answers] == [200] * 4


def test_what_is_not_there_is_404(server):
    job = server.dream()
    for path in ("items/0/pictures/3", "items/99/pictures/3"):
        answer = server.http.get(f"/v1/jobs/{job['id']}/{path}")
        assert answer.status_code == 404
        assert "its items list their files" in answer.json()["detail"]
    assert server.http.get("/v1/jobs/none/items/0/pictures/3").json()["detail"].startswith("no job")
    assert server.http.get(f"/v1/pictures/{'0' * 64}/image").status_code == 404


def test_an_input_is_shown_re_encoded(server, draw):
    data = draw(1, size=(900, 300), kind="JPEG") + b"<script>alert(1)</script>"
    sha256 = server.http.post("/v1/pictures", content=data).json()["sha256"]
    answer = server.http.get(f"/v1/pictures/{sha256}/image?size=90")
    assert answer.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(answer.content)).size == (90, 30)
    assert b"script" not in answer.content
    etag = answer.headers["etag"]
    again = server.http.get(f"/v1/pictures/{sha256}/image?size=90", headers={"If-None-Match": etag})
    head = server.http.head(f"/v1/pictures/{sha256}/image?size=90")
    assert (head.status_code, head.headers["etag"], head.content) == (200, etag, b"")
    assert again.status_code == 304
    assert server.http.get(f"/v1/pictures/{sha256}/image?size=9000").status_code == 422


@pytest.mark.parametrize("kind", ["dream", "study"])
def test_the_zip_holds_what_fetch_writes(server, kind, tmp_path, monkeypatch):
    job = server.dream(3) if kind == "dream" else server.study(3)
    server.work(job["id"], failing=(1,))
    answer = server.http.get(f"/v1/jobs/{job['id']}/results.zip")
    assert answer.headers["content-type"] == "application/zip"
    assert f'filename="beholder-{job["id"]}.zip"' in answer.headers["content-disposition"]
    zipped = zipfile.ZipFile(io.BytesIO(answer.content))
    assert zipped.testzip() is None

    monkeypatch.setenv("BEHOLDER_HOME", str(server.services.settings.home))
    monkeypatch.setattr("cli.export.draw_sheets", lambda *_: ())
    export_job(Context().desk, job["id"], tmp_path / "fetched")
    fetched = {path.name: path.read_bytes() for path in (tmp_path / "fetched").glob("*.*")}
    assert {name: zipped.read(name) for name in zipped.namelist()} == fetched
    assert json.loads(fetched["results.json"])["job"]["id"] == job["id"]


def test_a_file_that_the_store_lost_is_left_out_and_said(server):
    job = server.dream(1)
    server.work(job["id"])
    item = server.http.get(f"/v1/jobs/{job['id']}/items").json()["items"][0]
    server.services.store.local_path(item["files"][0]["path"]).unlink()
    answer = server.http.get(f"/v1/jobs/{job['id']}/results.zip")
    zipped = zipfile.ZipFile(io.BytesIO(answer.content))
    row = json.loads(zipped.read("results.json"))["items"][0]
    assert row["error"] == "1 of its files are gone from the store: submit it again."
    assert len(zipped.namelist()) == 4  # of 4 pictures and results.json


def test_a_file_that_the_store_damaged_is_left_out_and_said(server):
    job = server.dream(1)
    server.work(job["id"])
    item = server.http.get(f"/v1/jobs/{job['id']}/items").json()["items"][0]
    server.services.store.local_path(item["files"][0]["path"]).write_bytes(b"damaged")
    answer = server.http.get(f"/v1/jobs/{job['id']}/results.zip")
    zipped = zipfile.ZipFile(io.BytesIO(answer.content))
    row = json.loads(zipped.read("results.json"))["items"][0]
    assert "damaged in the store: run `beholder verify --mend`" in row["error"]
    assert len(zipped.namelist()) == 4  # of 4 pictures and results.json


def test_the_zip_is_written_while_it_is_read(server):
    job = server.dream(5)
    server.work(job["id"])
    services = server.services
    pieces = list(archive(services.db, services.store, get_job(services.db, job["id"])))
    assert len(pieces) > job["total"]
    # Each holds no more than one item's files, or one item's row.
    assert max(map(len, pieces[: job["total"]])) < 2_000
    assert sum(map(len, pieces)) > 10 * max(map(len, pieces[: job["total"]]))
