"""Pictures sent ahead: whole, in pieces, and only those that are lacking."""

import hashlib
import os
import time

import pytest

from api.routes import uploads
from api.uploads import Uploads
from beholder.errors import ServiceUnavailable, StorageFull
from beholder.store import Store, picture_path


def test_a_picture_is_kept_once(server, draw):
    first = server.http.post("/v1/pictures", content=draw(1))
    assert first.status_code == 201
    assert first.json() == {
        "sha256": hashlib.sha256(draw(1)).hexdigest(),
        "width": 40,
        "height": 32,
        "format": "PNG",
        "bytes": len(draw(1)),
    }
    again = server.http.post("/v1/pictures", content=draw(1))
    assert (again.status_code, again.json()) == (200, first.json())
    assert server.http.get(f"/v1/pictures/{first.json()['sha256']}").json() == first.json()


def test_a_damaged_copy_is_replaced_by_what_is_sent(server, draw):
    data = draw(1)
    store, path = server.services.store, picture_path(hashlib.sha256(data).hexdigest())
    server.http.post("/v1/pictures", content=data)
    store.put(path, data[:-1] + b"?")
    assert server.http.post("/v1/pictures", content=data).status_code == 200
    assert store.get(path) == data
    store.put(path, data[:-1] + b"?")
    assert send(server, announce(server, data).headers["location"], 0, data).json()["picture"]
    assert store.get(path) == data


def test_no_picture_is_a_problem(server):
    answer = server.http.post("/v1/pictures", content=b"<svg onload='x()'/>")
    assert (answer.status_code, answer.json()["title"]) == (422, "Picture that can't be used")


def test_clients_ask_what_is_missing(server, draw):
    here = server.http.post("/v1/pictures", content=draw(1)).json()["sha256"]
    lacking = "0" * 64
    answer = server.http.post("/v1/pictures/missing", json={"sha256": [lacking, here, lacking]})
    assert answer.json() == {"missing": [lacking]}
    assert server.http.head(f"/v1/pictures/{here}").status_code == 200
    assert server.http.head(f"/v1/pictures/{lacking}").status_code == 404


def test_so_many_are_asked_of_at_a_time(server):
    hashes = [f"{number:064x}" for number in range(1_001)]
    url = "/v1/pictures/missing"
    assert server.http.post(url, json={"sha256": hashes[:-1]}).json() == {"missing": hashes[:-1]}
    answer = server.http.post(url, json={"sha256": hashes})
    assert (answer.status_code, "1000" in answer.json()["detail"]) == (422, True)


def announce(server, data, **fields):
    body = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), **fields}
    return server.http.post("/v1/uploads", json=body)


def send(server, url, offset, data):
    return server.http.patch(url, content=data, headers={"Upload-Offset": str(offset)})


def test_a_picture_comes_in_pieces(server, draw):
    data = draw(1, size=(300, 300))
    created = announce(server, data)
    url = created.headers["location"]
    assert (created.status_code, created.headers["upload-offset"]) == (201, "0")
    middle = send(server, url, 0, data[:100])
    assert (middle.json()["offset"], middle.json()["picture"]) == (100, None)
    assert server.http.head(url).headers["upload-offset"] == "100"
    wrong = send(server, url, 50, data[50:])
    assert wrong.status_code == 409
    assert "goes on at byte 100, not at 50" in wrong.json()["detail"]
    last = send(server, url, 100, data[100:]).json()
    assert last["picture"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert server.http.get(f"/v1/pictures/{last['sha256']}").status_code == 200
    assert server.http.get(url).status_code == 404  # it has ended


def test_what_arrived_before_the_line_broke_is_kept(server, draw):
    data = draw(1, size=(300, 300))
    url = announce(server, data).headers["location"]

    def broken():
        yield data[:200]
        time.sleep(0.3)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        server.http.patch(url, content=broken(), headers={"Upload-Offset": "0"})
    assert server.http.head(url).headers["upload-offset"] == "200"
    for _ in range(50):  # the broken request is still being given up
        if (answer := send(server, url, 200, data[200:])).status_code != 409:
            break
        time.sleep(0.05)
    assert answer.json()["picture"]["bytes"] == len(data)


@pytest.mark.parametrize(
    ("of", "name", "error", "status"),
    [
        (Store, "put_picture", StorageFull("no room left in the store."), 507),
        (uploads, "record_pictures", ServiceUnavailable("the database is away."), 503),
    ],
)
def test_what_could_not_be_stored_need_not_be_sent_again(
    server, draw, monkeypatch, of, name, error, status
):
    data = draw(1)
    url = announce(server, data).headers["location"]

    def away(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(of, name, away)
        assert send(server, url, 0, data).status_code == status
    assert announce(server, data).json()["offset"] == len(data)
    assert send(server, url, len(data), b"").json()["picture"]["bytes"] == len(data)
    assert server.http.get(url).status_code == 404


def test_an_upload_that_finds_no_room_leaves_nothing(tmp_path, no_room):
    with pytest.raises(StorageFull, match="no room for uploads"), no_room():
        Uploads(tmp_path, total_bytes=1_000).create(10, "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_other_bytes_than_announced_are_refused(server, draw):
    data = draw(1)
    url = announce(server, data, sha256="0" * 64).headers["location"]
    answer = send(server, url, 0, data)
    assert answer.status_code == 422
    assert "begin again" in answer.json()["detail"]
    assert server.http.get(url).status_code == 404
    url = announce(server, data).headers["location"]
    assert "was announced with" in send(server, url, 0, data + b"more").json()["detail"]
    text = b"plain text"
    answer = send(server, announce(server, text).headers["location"], 0, text)
    assert answer.json()["title"] == "Picture that can't be used"


def test_uploads_are_limited_and_expire(start, draw):
    server = start(upload_file_bytes=1_000, upload_total_bytes=2_000)
    assert announce(server, bytes(1_001)).status_code == 413
    urls = [announce(server, bytes([n]) * 1_000).headers["location"] for n in range(2)]
    assert announce(server, bytes(2_001)).status_code == 413
    for_now = announce(server, b"x")
    assert (for_now.status_code, for_now.headers["retry-after"]) == (503, "2")
    assert "unfinished uploads take 2,000 bytes of 2,000: finish or" in for_now.json()["detail"]
    assert server.http.delete(urls[0]).status_code == 204
    old = server.services.settings.home / "uploads" / urls[1].rpartition("/")[2]
    for one in old.iterdir():
        os.utime(one, (0, 0))
    assert announce(server, bytes([2]) * 1_000).status_code == 201
    assert server.http.get(urls[1]).status_code == 404
    assert server.http.get("/v1/uploads/..%2f..%2fbeholder").status_code == 404


def test_an_upload_that_is_announced_again_goes_on(server, draw):
    data = draw(1)
    first = announce(server, data)
    assert send(server, first.headers["location"], 0, data[:50]).json()["offset"] == 50
    again = announce(server, data)
    assert (again.json()["id"], again.json()["offset"]) == (first.json()["id"], 50)
    assert again.headers["upload-offset"] == "50"
    assert announce(server, draw(2)).json()["id"] != first.json()["id"]
