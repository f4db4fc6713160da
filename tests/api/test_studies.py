"""Channels, verdicts, layers, networks and recipes."""

import pytest

from beholder.recipes import RECIPES


@pytest.fixture
def study(server):
    job = server.study()
    server.work(job["id"])
    return server.http.get(f"/v1/jobs/{job['id']}").json()


def found(server, **query):
    answer = server.http.get("/v1/channels", params=query)
    assert answer.status_code == 200, answer.text
    return [(row["layer"], row["channel"]) for row in answer.json()["channels"]]


def test_channels_by_study_layer_and_channel(server, study):
    everything = found(server, study=study["id"])
    assert everything == [(20, 1), (35, 7), (35, 3), (35, 9)]
    assert found(server, study=study["id"], layer="relu5_4", top=1) == [(35, 7)]
    assert found(server, layer="35", channel=9) == [(35, 9)]
    assert found(server, study=study["id"], chosen=True) == [(35, 7), (35, 3)]
    assert found(server, study=study["id"], limit=2) == everything[:2]


def test_channels_are_sorted(server, study):
    for sort, order in (("count", [7, 3, 9]), ("strength", [9, 7, 3]), ("contrast", [3, 7, 9])):
        rows = found(server, study=study["id"], layer="35", sort=sort)
        assert [channel for _, channel in rows] == order


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, "name a study or a layer"),
        ({"layer": "conv9_9"}, "no layer 'conv9_9'"),
        ({"layer": "relu1_1", "channel": 400}, "relu1_1 has channels 0-63; got 400"),
        ({"channel": 3}, "name a study or a layer"),
    ],
)
def test_wrong_channels_get_a_sentence(server, query, words):
    answer = server.http.get("/v1/channels", params=query)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_a_dream_is_no_study(server):
    job = server.dream()
    for path in (f"/v1/channels?study={job['id']}", f"/v1/studies/{job['id']}/verdicts"):
        assert "is a dream" in server.http.get(path).json()["detail"]


def test_verdicts_page_by_picture(server, study):
    url = f"/v1/studies/{study['id']}/verdicts"
    first = server.http.get(url, params={"limit": 3}).json()
    assert first["summary"] == {
        "targets": 2,
        "targets_kept": 0,
        "controls": 2,
        "controls_kept": 2,
    }
    assert first["chosen"] == [{"layer": 35, "layer_name": "relu5_4", "channels": [7, 3]}]
    rows = [(one["position"], one["kind"], one["label"]) for one in first["verdicts"]]
    assert rows[:2] == [(0, "intact", "kelpie"), (0, "blinded", "terrier")]
    second = server.http.get(url, params={"limit": 3, "after": first["next"]}).json()
    assert ("summary" not in second, second["next"]) == (True, None)
    assert [one["position"] for one in second["verdicts"]] == [3, 3]
    intact = server.http.get(url, params={"kind": "intact"}).json()["verdicts"]
    assert {one["kind"] for one in intact} == {"intact"}


def test_layers_and_networks(server):
    layers = server.http.get("/v1/layers?network=specimens").json()["layers"]
    assert (len(layers), layers[35]["name"], layers[35]["channels"]) == (37, "relu5_4", 128)
    networks = server.http.get("/v1/networks").json()["networks"]
    assert [one["name"] for one in networks if one["default"]] == ["specimens"]


def test_recipes(server):
    recipes = {one["name"]: one for one in server.http.get("/v1/recipes").json()["recipes"]}
    assert list(recipes) == list(RECIPES)
    assert recipes["deepdream"]["defaults"]["octaves"] == 4
    assert recipes["article"]["defaults"] == {}
