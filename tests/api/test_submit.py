"""New jobs over HTTP: both forms, what is refused, and repeated requests."""

import hashlib
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest

SPEC = '{"network": "specimens", "layers": [20, 35], "steps": 3}'


def post(server, path="/v1/dreams", *, files=(), headers=None, **data):
    return server.http.post(path, data=data, files=list(files), headers=headers)


def part(name, filename, data):
    return (name, (filename, data, "application/octet-stream"))


def test_multipart_pictures_become_items(server, draw):
    files = [
        part("pictures", "kelpies/k1.png", draw(1)),
        part("pictures", "k2.jpg", draw(2, kind="JPEG")),
    ]
    answer = post(server, files=files, spec=SPEC, name="two")
    job = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["name"], job["total"], job["queued"], job["network"]) == ("two", 4, 4, "specimens")
    items = server.http.get(f"/v1/jobs/{job['id']}/items").json()["items"]
    assert [(one["layer"], one["source"], one["group"]) for one in items] == [
        (20, "kelpies/k1.png", "kelpies"),
        (20, "k2.jpg", None),
        (35, "kelpies/k1.png", "kelpies"),
        (35, "k2.jpg", None),
    ]
    assert items[0]["picture_sha256"] == hashlib.sha256(draw(1)).hexdigest()


def test_json_names_stored_pictures_by_hash(server, draw):
    sent = server.http.post("/v1/pictures", content=draw(1)).json()
    body = {
        "spec": json.loads(SPEC),
        "pictures": [sent["sha256"], {"sha256": sent["sha256"], "source": "a/b.png"}],
    }
    job = server.http.post("/v1/dreams", json=body)
    assert job.status_code == 201
    items = server.http.get(f"/v1/jobs/{job.json()['id']}/items").json()["items"]
    assert [one["source"] for one in items[:2]] == [sent["sha256"][:12], "a/b.png"]


def test_a_recipe_s_own_noise_is_for_where_no_pictures_are_named(server, draw):
    feature = {"network": "specimens", "layers": [20], "recipe": "feature"}
    sent = server.http.post("/v1/pictures", content=draw(1)).json()["sha256"]
    lines = "".join(json.dumps(line) + "\n" for line in ({"spec": feature}, {"sha256": sent}))
    for answer, noise, total in (
        (server.http.post("/v1/dreams", json={"spec": feature}), 1, 1),
        (server.http.post("/v1/dreams", json={"spec": feature, "pictures": [sent]}), 0, 1),
        (post(server, files=[part("pictures", "a.png", draw(2))], spec=json.dumps(feature)), 0, 1),
        (
            server.http.post(
                "/v1/dreams", json={"spec": {**feature, "noise": 2}, "pictures": [sent]}
            ),
            2,
            3,
        ),
        (
            server.http.post(
                "/v1/dreams", content=lines, headers={"Content-Type": "application/x-ndjson"}
            ),
            0,
            1,
        ),
    ):
        assert answer.status_code == 201, answer.text
        assert (answer.json()["spec"]["noise"], answer.json()["total"]) == (noise, total)


def test_multipart_takes_hashes_beside_files(server, draw):
    sent = server.http.post("/v1/pictures", content=draw(1)).json()
    files = [part("targets", "t.png", draw(2)), part("controls", "c.png", draw(3))]
    answer = post(
        server, "/v1/studies", files=files, targets=sent["sha256"], spec='{"threshold": 2}'
    )
    assert answer.status_code == 201, answer.text
    items = server.http.get(f"/v1/jobs/{answer.json()['id']}/items").json()["items"]
    assert [one["role"] for one in items] == ["target", "target", "control"]


def test_a_study_s_target_is_a_class_of_its_network(server, draw):
    files = [part("targets", "t/1.png", draw(2)), part("controls", "c/1.png", draw(3))]
    for target, words in (
        ("spira", "no class 'spira' of this network; write vote, or a label such as spiral."),
        ("folder", "the folder 't' names no class of this network"),
    ):
        spec = json.dumps({"network": "specimens", "recipe": "sound", "target": target})
        answer = post(server, "/v1/studies", files=files, spec=spec)
        assert answer.status_code == 422
        assert words in answer.json()["detail"]
    assert server.http.get("/v1/jobs").json()["jobs"] == []


def test_noise_needs_no_pictures(server):
    answer = server.http.post("/v1/dreams", json={"spec": {"noise": 2, "steps": 1}})
    assert answer.status_code == 201
    assert (answer.json()["total"], answer.json()["name"]) == (2, "noise")


def test_a_bad_picture_fails_alone_with_its_reason(server, draw):
    files = [part("pictures", "good.png", draw(1)), part("pictures", "bad.png", b"not a picture")]
    job = post(server, files=files, spec=SPEC).json()
    assert (job["total"], job["failed"], job["queued"]) == (4, 2, 2)
    failed = server.http.get(f"/v1/jobs/{job['id']}/items?state=failed").json()["items"]
    assert {one["source"] for one in failed} == {"bad.png"}
    assert "use JPEG, PNG" in failed[0]["error"]


def test_nothing_but_bad_pictures_is_refused(server):
    answer = post(server, files=[part("pictures", "bad.png", b"")], spec=SPEC)
    assert answer.status_code == 422
    assert (
        "none of the 1 pictures can be used: bad.png: the file is empty." in answer.json()["detail"]
    )
    assert server.http.get("/v1/jobs").json()["jobs"] == []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ('{"network": "/etc/passwd.pth"}', "a file's path is for the command line"),
        ('{"network": "../weights.safetensors"}', "a file's path is for the command line"),
        ('{"network": "resnet"}', "no network 'resnet'"),
        ('{"steps": 0}', "steps: input should be greater than or equal to 1; got 0"),
        ('{"layers": [90]}', "layers: input should be less than or equal to 36; got 90"),
        ('{"layers": [35], "channels": [200]}', "relu5_4 has channels 0-127; got 200"),
        ('{"pictures": "/srv/pictures"}', "pictures: there is no such field"),
        ('{"leyers": [30]}', "leyers: there is no such field; did you mean layers?"),
        ("[1]", "spec: input should be a valid dictionary"),
        ("{", "spec: not JSON"),
    ],
)
def test_a_wrong_spec_is_refused_with_the_reason(server, draw, spec, words):
    answer = post(server, files=[part("pictures", "k.png", draw(1))], spec=spec)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"pictures": ["0" * 64]}, "no picture 000000000000... here: send it with POST"),
        ({"pictures": ["/srv/k.png"]}, "pictures.0"),
        ({"dir": "/srv"}, "dir: there is no such field"),
        ({"pictues": []}, "pictues: there is no such field; did you mean pictures?"),
        ({}, "no pictures"),
        ({"pictures": [], "webhook": {"url": "file:///etc/passwd"}}, "webhook.url"),
    ],
)
def test_wrong_json_is_refused_with_the_reason(server, body, words):
    answer = server.http.post("/v1/dreams", json=body)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_other_fields_and_other_types_are_refused(server, draw):
    files = [part("files", "k.png", draw(1))]
    assert "no field 'files': fields are spec" in post(server, files=files).json()["detail"]
    answer = server.http.post("/v1/dreams", content=b"x", headers={"Content-Type": "text/csv"})
    assert answer.status_code == 422
    broken = {"Content-Type": "multipart/form-data; boundary=b"}
    for body in (b"--b\r\n", b"nothing", b"--b\r\nX: y\r\n\r\nz\r\n--b--\r\n"):
        answer = server.http.post("/v1/dreams", content=body, headers=broken)
        assert answer.status_code == 422, body


def test_names_of_files_lead_nowhere(server, draw):
    files = [part("pictures", "../../etc/./k\u202e.png", draw(1))]
    job = post(server, files=files, spec=SPEC).json()
    items = server.http.get(f"/v1/jobs/{job['id']}/items").json()["items"]
    assert items[0]["source"] == "etc/k.png"


def test_a_full_disk_for_temporary_files_is_one_line(server, draw, monkeypatch):
    """/dev/full takes nothing, as a disk does that is."""

    def full(mode="w+b", **options):
        return open("/dev/full", mode, **options)

    job = server.dream()
    server.work(job["id"])
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    answers = [
        server.http.post("/v1/dreams", files=[("pictures", ("k.png", draw(1), "image/png"))]),
        server.http.get(f"/v1/jobs/{job['id']}/items/0/start"),
    ]
    for answer in answers:
        assert answer.status_code == 507
        assert "(No space left on device): free some space" in answer.json()["detail"]
        assert "set TMPDIR" in answer.json()["detail"]


def test_limits_hold_while_reading(start, draw):
    server = start(
        upload_file_bytes=2_000, upload_files=3, upload_total_bytes=9_000, max_pixels=5_000
    )
    large = part("pictures", "large.png", b"\x89PNG" + bytes(3_000))
    wide = part("pictures", "wide.png", draw(1, size=(100, 60)))
    fits = part("pictures", "fits.png", draw(1))
    job = post(server, files=[large, wide, fits], spec=SPEC).json()
    failed = server.http.get(f"/v1/jobs/{job['id']}/items?state=failed").json()["items"]
    assert [one["error"] for one in failed[:2]] == [
        "the file is larger than 2,000 bytes.",
        "100 x 60 pixels is more than the limit of 5,000: scale it down, or raise "
        "BEHOLDER_MAX_PIXELS.",
    ]
    assert post(server, files=4 * [fits], spec=SPEC).status_code == 413
    answer = post(server, files=3 * [large], spec=SPEC)
    assert answer.status_code == 413
    assert "a request may have 9,000 bytes" in answer.json()["detail"]
    assert server.http.post("/v1/pictures", content=bytes(3_000)).status_code == 413


def test_fifty_parallel_posts_make_one_job(server, draw):
    files = [part("pictures", "k.png", draw(1))]

    def send(_):
        return post(server, files=files, spec=SPEC, headers={"Idempotency-Key": "one"})

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(send, range(50)))
    assert sorted(answer.status_code for answer in answers) == 49 * [200] + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(server.http.get("/v1/jobs").json()["jobs"]) == 1


def test_a_key_means_one_content(server, draw):
    key = {"Idempotency-Key": "one"}
    files = [part("pictures", "k.png", draw(1))]
    first = post(server, files=files, spec=SPEC, headers=key).json()
    assert post(server, files=files, spec=SPEC, headers=key).json() == first
    # The same content in the other form is the same request.
    body = {
        "spec": json.loads(SPEC),
        "pictures": [{"sha256": hashlib.sha256(draw(1)).hexdigest(), "source": "k.png"}],
    }
    assert server.http.post("/v1/dreams", json=body, headers=key).json()["id"] == first["id"]
    other = post(server, files=files, spec='{"steps": 4}', headers=key)
    assert other.status_code == 422
    assert f"made job {first['id']}: choose a new key" in other.json()["detail"]


def test_no_body_is_read_without_end(server, monkeypatch):
    monkeypatch.setattr("api.guard.MAX_JSON_BYTES", 1_000)
    body = json.dumps({"sha256": 50 * ["0" * 64]}).encode()
    declared = server.http.post("/v1/pictures/missing", content=body)
    assert (declared.status_code, declared.json()["title"]) == (413, "Too large")
    streamed = server.http.post("/v1/pictures/missing", content=iter([body]))
    assert (streamed.status_code, streamed.json()) == (413, declared.json())


def test_text_that_no_database_takes_is_cleaned_or_refused(server):
    def named(name):
        body = json.dumps({"name": name, "spec": {"noise": 1}}).encode()
        kind = {"Content-Type": "application/json"}
        return server.http.post("/v1/dreams", content=body, headers=kind)

    assert named("a\0b\x1bc").json()["name"] == "abc"
    assert named("\ud800").status_code == 422
    assert len(named("a" * 200).json()["name"]) == 200
    long = named("a" * 201)
    assert (long.status_code, "at most 200 characters" in long.json()["detail"]) == (422, True)
    for field in ('"\\ud800"', '{"network": "\\ud800"}', '{"network": "\\u0000"}'):
        assert post(server, spec=field).status_code == 422
    hook = {"url": "https://example.org/\0", "secret": "\0"}
    assert post(server, spec=SPEC, webhook=json.dumps(hook)).status_code == 422


def test_json_that_is_nested_too_deep_is_refused_in_either_form(server):
    deep = "[" * 2_000 + "]" * 2_000
    for field in ("spec", "webhook"):
        answer = server.http.post("/v1/dreams", files=[(field, (None, deep))])
        assert (answer.status_code, "recursion limit" in answer.json()["detail"]) == (422, True)
    kind = {"Content-Type": "application/json"}
    for path in ("/v1/dreams", "/v1/pictures/missing"):
        body = f'{{"spec": {deep}}}'
        assert server.http.post(path, content=body, headers=kind).status_code in (400, 422), path


def test_a_thousand_hashes_are_not_too_many_to_ask_for(server):
    for count, status in ((1_000, 200), (1_001, 422)):
        body = {"sha256": [f"{number:064x}" for number in range(count)]}
        answer = server.http.post("/v1/pictures/missing", json=body)
        assert answer.status_code == status
        assert len(answer.json().get("missing", [])) == (count if status == 200 else 0)
    long = server.http.post("/v1/pictures/missing", content=b"[" + b"{}," * 3_000_000)
    assert long.status_code == 413
    assert "this request may have 8,388,608 bytes" in long.json()["detail"]


def test_text_fields_are_limited_together(server, monkeypatch):
    monkeypatch.setattr("api.multipart.MAX_TEXT_BYTES", 1_000)
    for path, field in (("/v1/dreams", "pictures"), ("/new", "layers")):
        files = 20 * [(field, (None, "0" * 64))]
        answer = server.http.post(path, files=files)
        assert answer.status_code == 413, path
        assert "fields of a request may have 1,000 bytes" in answer.text


def test_a_field_is_no_longer_than_a_line(server):
    for extra, status in ((0, 201), (1, 413)):
        spec = '{"noise": 1}'.ljust((64 << 10) + extra)
        answer = server.http.post("/v1/dreams", files=[("spec", (None, spec))])
        assert answer.status_code == status, answer.text
    assert "the field spec has more than 65,536 bytes" in answer.json()["detail"]


def test_a_hash_is_looked_at_when_it_arrives(server):
    answer = post(server, files=[("pictures", (None, "0" * 63 + "x"))], spec=SPEC)
    assert answer.status_code == 422
    assert "a picture's SHA-256 as 64 hex digits" in answer.json()["detail"]
    long = [("targets", (None, "1" * 5_000))]
    assert post(server, "/v1/studies", files=long).status_code == 422


@pytest.mark.parametrize("path", ["/new", "/new/study"])
def test_numbers_of_thousands_of_digits_are_refused(server, path):
    digits = "9" * 5_000
    for field in ("layers", "size", "channels", "steps", "snapshots", "top", "min_layer"):
        answer = server.http.post(path, files=[("layers", (None, "3")), (field, (None, digits))])
        assert answer.status_code == 422, field
    for spec in ({"layers": [99]}, {"size": 10**4_000}, {"network": "random:" + digits}):
        answer = server.http.post("/v1/dreams", json={"spec": spec})
        assert (answer.status_code, len(answer.json()["detail"]) < 250) == (422, True)


def test_a_network_is_refused_without_talk_of_paths(server):
    detail = server.http.post("/v1/dreams", json={"spec": {"network": "resnet"}}).json()["detail"]
    assert detail == "no network 'resnet': write vgg19, specimens or random:SEED (random:0)."
    form = server.http.post("/new", files=[("layers", (None, "3")), ("network", (None, "resnet"))])
    assert (form.status_code, "state dict" in form.text) == (422, False)


@pytest.mark.parametrize("kind", ["dreams", "studies"])
def test_a_priority_comes_in_either_form(server, draw, kind):
    field = "pictures" if kind == "dreams" else "targets"
    for priority in ("low", "high"):
        sent = server.http.post(
            f"/v1/{kind}", data={"priority": priority}, files=[part(field, "k.png", draw(1))]
        )
        assert (sent.status_code, sent.json()["priority"]) == (201, priority)
        stored = hashlib.sha256(draw(1)).hexdigest()
        named = {field: [stored], "priority": priority}
        assert server.http.post(f"/v1/{kind}", json=named).json()["priority"] == priority
    assert server.http.post(f"/v1/{kind}", json={field: [stored]}).json()["priority"] == "normal"
    refused = server.http.post(f"/v1/{kind}", json={field: [stored], "priority": "urgent"})
    assert refused.status_code == 422
    assert "priority: " in refused.json()["detail"]
    assert "'urgent'" in refused.json()["detail"]
