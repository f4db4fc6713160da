"""`/v1/channels/dreams` and `/v1/jobs/open`: what an atlas asks; and what a dream started from."""

import io
import json
import random
import tracemalloc
from contextlib import ExitStack

import pytest
from PIL import Image

from api.thumbnails import DECODED_AT_ONCE
from beholder.jobs import claims, finish
from beholder.jobs.outcomes import DreamOutcome
from beholder.store import result_folder

URL = "/v1/channels/dreams"
ASKED = {"layer": 1, "channels": [0, 2, 0], "spec": {"recipe": "feature", "steps": 3, "size": 32}}


def test_dreams_of_channels_are_queued_once_and_found(server):
    made = server.http.post(URL, json={**ASKED, "name": "atlas", "priority": "high"})
    assert made.status_code == 201, made.text
    queued = {row["channel"]: row["job"] for row in made.json()["queued"]}
    assert (set(queued), made.json()["there"]) == ({0, 2}, [])
    job = server.http.get(f"/v1/jobs/{queued[2]}").json()
    assert (job["name"], job["priority"], job["network"]) == (
        "atlas relu1_1/2",
        "high",
        "specimens",
    )
    assert (job["spec"]["noise"], job["spec"]["layers"], job["spec"]["channels"]) == (1, [1], [2])

    def still_open():
        asked = [*queued.values(), "nosuchjob"]
        return server.http.post("/v1/jobs/open", json={"jobs": asked}).json()["open"]

    assert still_open() == 2
    assert server.http.get(URL, params={"layer": 1}).json() == {"dreams": []}
    server.work(queued[2])
    assert still_open() == 1
    for query in ({}, {"network": "specimens"}, {"recipe": "feature"}):
        (found,) = server.http.get(URL, params={"layer": 1, **query}).json()["dreams"]
        assert (found["channel"], found["job"], found["position"]) == (2, queued[2], 0)
        assert found["file"]["step"] == 3
    for query in ({"network": "vgg19"}, {"recipe": "article"}):
        assert server.http.get(URL, params={"layer": 1, **query}).json() == {"dreams": []}
    again = server.http.post(URL, json=ASKED).json()
    assert (again["queued"], sorted(again["there"])) == ([], [[1, 0], [1, 2]])


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"layer": 37}, "layer: input should be less than 37"),
        ({"channels": []}, "channels: list should have at least 1 item"),
        ({"channels": [1, 512]}, "channels.1: input should be less than 512"),
        ({"channels": [1, 40]}, "relu1_1 has channels 0-15; got 40"),
        ({"spec": {"layers": [3]}}, "`layer` and `channels` say of what; leave layers out"),
        ({"spec": {"noise": 0}}, "channels are dreamt from noise"),
        ({"spec": {"noise": 2}}, "channels are dreamt from noise, each once; leave noise"),
        ({"spec": {"zoom": 1.1, "frames": 2}}, "leave noise, zoom and frames out"),
        ({"spec": {"steps": "many"}}, "steps: input should be a valid integer"),
        ({"spec": {"network": "/etc/x.pth"}}, "over HTTP write vgg19, specimens or random:SEED"),
        ({"spec": {"mask": "0" * 64}}, "no picture"),
        ({"steps": 3}, "steps: there is no such field"),
    ],
)
def test_what_can_not_be_dreamt_is_one_sentence(server, asked, words):
    answer = server.http.post(URL, json={**ASKED, **asked})
    assert answer.status_code == 422, answer.text
    assert words in answer.json()["detail"]
    assert server.http.get("/v1/jobs").json()["jobs"] == []


@pytest.mark.parametrize("jobs", [["A B"], [""], ["x"] * 1001, "x", [1]])
def test_open_jobs_are_asked_for_by_their_ids(server, jobs):
    answer = server.http.post("/v1/jobs/open", json={"jobs": jobs})
    assert (answer.status_code, answer.json()["detail"][:4]) == (422, "jobs")


def test_a_start_is_the_picture_as_it_was_seen(server, draw):
    files = [("pictures", ("k.png", draw(7, size=(90, 60)), "image/png"))]
    starts = {}
    for size in (32, "keep"):
        spec = {"layers": [20], "steps": 1, "size": size}
        job = server.http.post("/v1/dreams", data={"spec": json.dumps(spec)}, files=files).json()
        url = f"/v1/jobs/{job['id']}/items/0/start"
        answer = server.http.get(url)
        assert answer.headers["content-type"] == "image/png"
        starts[size] = Image.open(io.BytesIO(answer.content))
        tag = {"If-None-Match": answer.headers["etag"]}
        assert server.http.get(url, headers=tag).status_code == 304
    assert (starts[32].size, starts["keep"].size) == ((32, 32), (90, 60))
    assert starts[32].getpixel((3, 3)) == starts["keep"].getpixel((3, 3)) == (7, 90, 160)
    none = server.http.get(f"/v1/jobs/{job['id']}/items/5/start")
    assert (none.status_code, none.json()["detail"]) == (404, f"job {job['id']} has no item 5.")


@pytest.mark.slow
def test_a_large_start_is_never_whole_in_memory(server):
    noise, buffer = random.Random(1).randbytes(100 * 75 * 3), io.BytesIO()
    image = Image.frombytes("RGB", (100, 75), noise).resize((3000, 2250), Image.Resampling.BICUBIC)
    image.save(buffer, "JPEG", quality=50)
    files = [("pictures", ("large.jpg", buffer.getvalue(), "image/jpeg"))]
    spec = {"layers": [20], "steps": 1, "size": "keep"}
    job = server.http.post("/v1/dreams", data={"spec": json.dumps(spec)}, files=files).json()
    received = 0
    tracemalloc.start()
    with server.http.stream("GET", f"/v1/jobs/{job['id']}/items/0/start") as answer:
        for piece in answer.iter_raw():
            received += len(piece)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < received * 0.75  # a few pieces of a megabyte; whole, it would be over 1


def test_kept_noise_waits_for_no_picture_that_is_decoded(server, draw):
    spec = {"layers": [20], "channels": [3], "noise": 1, "steps": 1, "network": "specimens"}
    job = server.http.post("/v1/dreams", json={"spec": spec}).json()["id"]
    (claim,) = claims.claim_next(server.services.db, worker="test", lease_s=60)
    path, data = f"{result_folder(job, claim.token)}/0-start.png", draw(5)
    server.services.store.put(path, data)
    outcome = DreamOutcome(0, (), {"start": path}, 0.5)
    finish.finish_dreams(server.services.db, [(claim, [outcome])])
    with ExitStack() as decoding:
        for _ in range(DECODED_AT_ONCE):
            decoding.enter_context(server.services.thumbnails.decoding())
        answer = server.http.get(f"/v1/jobs/{job}/items/0/start", timeout=5)
    assert (answer.status_code, answer.content) == (200, data)


def test_a_later_frame_of_a_film_has_no_start_of_its_own(server, draw):
    zoom = {"zoom": 1.1, "frames": 2, "steps": 1, "layers": [20], "network": "specimens"}
    sent = [("pictures", ("k.png", draw(1), "image/png"))]
    job = server.http.post("/v1/dreams", data={"spec": json.dumps(zoom)}, files=sent).json()
    url = f"/v1/jobs/{job['id']}/items"
    assert server.http.get(f"{url}/0/start").status_code == 200
    later = server.http.get(f"{url}/1/start")
    assert (later.status_code, later.json()["detail"]) == (
        404,
        f"item 1 of job {job['id']} started from the frame before it.",
    )
