"""A job as lines of JSON: any number of pictures, and what the client could not read."""

import hashlib
import json

import pytest

from beholder.jobs.queries import items
from beholder.protocol import LINES
from tests.drawn import png


def body(*documents):
    return b"".join(json.dumps(one).encode() + b"\n" for one in documents)


def post(server, content, kind="dreams", **headers):
    headers = {"Content-Type": LINES, **{name.replace("_", "-"): headers[name] for name in headers}}
    return server.http.post(f"/v1/{kind}", content=content, headers=headers)


def sent(server, *shades):
    hashes = []
    for shade in shades:
        assert server.http.post("/v1/pictures", content=png(shade)).status_code in (200, 201)
        hashes.append(hashlib.sha256(png(shade)).hexdigest())
    return hashes


def test_a_study_of_lines(server):
    one, other = sent(server, 1, 2)
    answer = post(
        server,
        body(
            {"spec": {"threshold": 2}, "name": "kelpies", "priority": "low"},
            {"sha256": one, "source": "kelpies/k1.png", "group": "kelpies", "role": "target"},
            {"source": "kelpies/k2.png", "role": "target", "error": "not a picture:\x1b cut off."},
            {"sha256": other, "source": "../../cats/c1.png", "role": "control"},
            {"sha256": other, "source": "kelpies/k3.png"},
        ),
        "studies",
    )
    assert answer.status_code == 201, answer.text
    row = answer.json()
    assert (row["name"], row["priority"], row["total"], row["failed"]) == ("kelpies", "low", 4, 1)
    found = list(items(server.services.db, row["id"]))
    assert [(one.source, one.role) for one in found] == [
        ("kelpies/k1.png", "target"),
        ("kelpies/k2.png", "target"),
        ("kelpies/k3.png", "target"),  # targets first, and without a role one is that
        ("cats/c1.png", "control"),
    ]
    assert found[1].error == "not a picture: cut off."


def test_the_same_lines_with_the_same_key_make_one_job(server):
    (one,) = sent(server, 1)
    lines = body({"spec": {"steps": 3}, "name": "k"}, {"sha256": one, "source": "k.png"})
    first = post(server, lines, Idempotency_Key="one")
    again = post(server, lines.replace(b"\n", b"\r\n"), Idempotency_Key="one")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    document = {"spec": {"steps": 3}, "name": "k", "pictures": [{"sha256": one, "source": "k.png"}]}
    other_form = server.http.post("/v1/dreams", json=document, headers={"Idempotency-Key": "one"})
    assert other_form.json()["id"] == first.json()["id"]


def test_more_pictures_than_a_batch_in_pieces_of_any_size(server):
    (one,) = sent(server, 1)
    lines = body(
        {"spec": {"steps": 3}}, *({"sha256": one, "source": f"{n}.png"} for n in range(1_100))
    )
    pieces = (lines[start : start + 7_001] for start in range(0, len(lines), 7_001))
    answer = post(server, pieces)
    assert answer.json()["total"] == 1_100
    assert answer.json()["name"] == "1100 pictures"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (b"", "the first line is to hold the request"),
        (b"[]\n", "body: input should be"),
        (
            body({"pictures": ["0" * 64]}),
            "pictures: of application/x-ndjson each picture is a line",
        ),
        (body({}, {"sha256": "0" * 64}), "no picture 000000000000... here"),
        (body({}, {}), "line 2: a picture has either sha256 or error."),
        (body({}, {"sha256": "0" * 64, "error": "x"}), "line 2: a picture has either"),
        (body({}, {"source": "a"}, {"sha256": "xyz"}), "line 2: a picture has either"),
        (body({}, {"sha256": "xyz"}), "line 2: sha256: string should match"),
        (body({}, {"error": "broken", "role": "target"}), "role: a dream's pictures have none"),
        (body({}, {"error": "broken"}), "none of the 1 pictures can be used: picture: broken"),
        (body({}) + b"{no json}\n", "line 2: "),
        (body({}), "no pictures"),
    ],
)
def test_what_is_refused(server, lines, words):
    answer = post(server, lines)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_lines_have_limits(server, monkeypatch):
    long = body({}, {"error": "x", "source": "y" * 70_000})
    assert post(server, long).status_code == 413
    assert post(server, iter([long[:69_000], long[69_000:]])).status_code == 413
    monkeypatch.setattr("api.lines.MAX_PICTURES", 2)
    many = post(server, body({}, *({"error": "x"} for _ in range(3))))
    assert (many.status_code, "2 pictures" in many.json()["detail"]) == (413, True)
