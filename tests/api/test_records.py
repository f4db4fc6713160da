"""One channel's record over HTTP."""

import pytest

from api.examples import RECORD
from beholder.jobs.channel_records import store_channel_classes, store_channel_effects
from beholder.jobs.models import Job
from beholder.jobs.outcomes import ChannelClassRow, ClassRow, EffectRow, digest


@pytest.fixture
def study(server):
    """Of relu5_4/7: three pictures, of which two drive it."""
    job = server.study()["id"]
    server.work(job)
    with server.services.db.write() as session:
        row = session.get_one(Job, job)
        classes = [ClassRow(0, "kelpie", "target", 3, digest(["a", "b", "c"]))]
        rows = [ChannelClassRow(0, 35, 7, 2, 6.0, 18.0, 3.0)]
        store_channel_classes(session, row, classes, rows)
        store_channel_effects(
            session, row, [EffectRow(35, 7, 0, 1.5, -2.0, -3.0, -1.0, target="kelpie")]
        )
        return row


def test_a_record_by_name_and_by_hash(server, study):
    for network in (study.network, study.network_sha256[:12]):
        answer = server.http.get(f"/v1/channels/{network}/conv5_4/7")
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert (document["layer"], document["layer_name"], document["channel"]) == (
            35,
            "relu5_4",
            7,
        )
        (record,) = document["records"]
        (kelpie,) = record["classes"]
        assert (kelpie["class"], kelpie["n"], kelpie["mean"]) == ("kelpie", 3, 2.0)
        assert record["effects"][0]["effect_high"] == -1.0
        assert record["effects"][0]["target"] == "kelpie"
        assert record["chosen_in"] == [study.id]


def test_the_example_has_what_answers_have(server, study):
    (record,) = server.http.get(f"/v1/channels/{study.network}/35/7").json()["records"]
    assert record.keys() == RECORD.keys()
    for name in ("classes", "effects"):
        assert record[name][0].keys() == RECORD[name][0].keys()


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("specimens/relu5_4/100", 404, "no study on specimens has measured relu5_4/100 by class"),
        ("nowhere/relu5_4/7", 404, "no study on nowhere has measured"),
        ("specimens/conv9_9/7", 422, "no layer 'conv9_9'"),
        ("specimens/relu1_1/64", 422, "relu1_1 has channels 0-15; got 64"),
        ("specimens/pool5/7", 422, "a pool's map is a function"),
    ],
)
def test_what_is_not_there_gets_a_sentence(server, study, path, status, words):
    answer = server.http.get(f"/v1/channels/{path}")
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True)


def test_the_channel_s_page_shows_its_classes(server, study):
    answer = server.http.get(
        f"/channels/{study.network}/relu5_4/7", headers={"Accept": "text/html"}
    )
    assert answer.status_code == 200, answer.text
    assert "2 of 3 pictures drive it" in answer.text
    assert f'<a href="/jobs/{study.id}">{study.id}</a> it moves' in answer.text
    assert "-2.00 (-3.00 to -1.00)" in answer.text
    pool = server.http.get(f"/channels/{study.network}/pool5/7")
    assert (pool.status_code, "By class" in pool.text) == (200, False)
