"""`channels`, `layers`, `networks`, `doctor`."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beholder.jobs.channel_models import ChannelEffect
from beholder.layers import LAYERS
from cli.context import Context

pytestmark = pytest.mark.slow  # real databases and servers; seconds in all

Beholder = Callable[..., Any]
Make = Callable[..., str]

STABLE = {"study", "layer", "layer_name", "channel", "count", "controls", "mean", "chosen"}


def rows(answer: Any) -> list[dict[str, Any]]:
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert isinstance(found, list)
    return found


@pytest.mark.both
def test_channels_that_no_network_has_are_refused_in_the_default_network_s_words(
    beholder: Beholder, study_job: Make
) -> None:
    study_job()
    answer = beholder("channels", "--layer", "conv5_1", "--channel", "900")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        "beholder: on vgg19, conv5_1 has channels 0-511; got 900. "
        "`beholder layers --network vgg19` lists them.\n"
    )
    assert beholder("channels", "--layer", "conv5_1", "--channel", "3").code == 0


@pytest.mark.both
def test_channels_answer_from_the_newest_study(beholder: Beholder, study_job: Make) -> None:
    study_job(name="old")
    newest = study_job(name="new")
    study_job(name="half-way", measured=True)
    answer = beholder("channels", "--layer", "conv5_1", "--top", "5", "--json")
    assert f"Study {newest} (new), the newest" in answer.err
    found = rows(answer)
    assert {row["study"] for row in found} == {newest}
    assert [row["channel"] for row in found] == [0, 1, 2, 3, 4]
    assert [row["count"] for row in found] == [3, 2, 1, 0, 0]
    assert set(found[0]) >= STABLE
    assert (found[0]["layer"], found[0]["layer_name"], found[0]["chosen"]) == (28, "conv5_1", True)


def test_top_is_for_each_layer(beholder: Beholder, study_job: Make) -> None:
    study = study_job()
    found = rows(beholder("channels", "--study", study[:6], "--top", "2", "--json"))
    assert [(row["layer"], row["channel"]) for row in found] == [
        (layer.index, channel) for layer in LAYERS for channel in (0, 1)
    ]
    some = rows(beholder("channels", "--layer", "kind:pool,35", "--json"))
    assert [row["layer"] for row in some][::10] == [4, 9, 18, 27, 36, 35]


@pytest.mark.both
def test_chosen_channels(beholder: Beholder, study_job: Make) -> None:
    study_job()
    found = rows(beholder("channels", "--chosen", "--json"))
    assert len(found) == 34
    assert all(row["chosen"] and row["layer"] >= 20 for row in found)


@pytest.mark.both
def test_a_sound_study_s_set_has_its_ranks_and_scores(
    beholder: Beholder, context: Context, study_job: Make
) -> None:
    study = study_job()
    wanted = ("channels", "--chosen", "--study", study)
    assert "rank" not in beholder(*wanted).out
    with context.db.write() as session:
        session.add(ChannelEffect(job_id=study, layer=28, channel=0, rank=1, score=2.375))
    table = beholder(*wanted).out
    assert "rank" in table
    assert "2.375" in table
    shown = [row for row in rows(beholder(*wanted, "--json")) if row["rank"] is not None]
    assert [(row["layer"], row["channel"], row["score"]) for row in shown] == [(28, 0, 2.375)]


@pytest.mark.both
def test_a_channel_is_asked_across_studies(beholder: Beholder, study_job: Make) -> None:
    studies = [study_job(name="a"), study_job(name="b")]
    found = rows(beholder("channels", "--channel", "1", "--layer", "28", "--json"))
    assert [row["study"] for row in found] == studies[::-1]
    everywhere = rows(beholder("channels", "--channel", "1", "--json"))
    assert len(everywhere) == 2 * len(LAYERS)
    one = rows(beholder("channels", "--channel", "1,2", "--study", studies[0], "--json"))
    assert len(one) == 2 * len(LAYERS)


def test_csv_has_a_header_and_the_json_s_columns(beholder: Beholder, study_job: Make) -> None:
    study_job()
    answer = beholder("channels", "--layer", "28", "--top", "3", "--format", "csv")
    listed = list(csv.DictReader(io.StringIO(answer.out)))
    same = rows(beholder("channels", "--layer", "28", "--top", "3", "--json"))
    assert [row["channel"] for row in listed] == ["0", "1", "2"]
    assert list(listed[0]) == list(same[0])


def test_the_table_says_out_of_how_many(beholder: Beholder, study_job: Make) -> None:
    study_job()
    answer = beholder("channels", "--layer", "28")
    assert "of 3 targets; controls: of 3" in answer.err
    assert answer.out.count("conv5_1") == 10


@pytest.mark.both
def test_without_studies_it_says_what_to_do(beholder: Beholder) -> None:
    answer = beholder("channels")
    assert (answer.code, answer.out) == (0, "")
    assert "beholder study" in answer.err
    assert rows(beholder("channels", "--json")) == []
    assert rows(beholder("channels", "--channel", "3", "--json")) == []


def test_a_study_without_channels_yet_says_so(beholder: Beholder, study_job: Make) -> None:
    study = study_job(measured=True)
    answer = beholder("channels", "--study", study, "--json")
    assert rows(answer) == []
    assert "has no channels yet" in answer.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--layer", "conv9_1"), "no layer 'conv9_1'"),
        (("--layer", "37"), "layers are 0-36"),
        (("--channel", "600"), "channels 0-511; got 600"),
        (("--channel", "600", "--layer", "conv5_1"), "conv5_1 has channels 0-511; got 600"),
        (("--channel", "many"), "channels are whole numbers"),
        (("--study", "nosuch"), "no job 'nosuch'"),
        (("--format", "xml"), "formats are table, json and csv"),
    ],
)
def test_bad_input_is_one_line(
    beholder: Beholder, study_job: Make, arguments: tuple[str, ...], words: str
) -> None:
    answer = beholder("channels", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert words in answer.err
    assert answer.err.count("\n") == 1


def test_a_narrow_network_has_fewer_channels(beholder: Beholder, study_job: Make) -> None:
    study = study_job()
    answer = beholder("channels", "--study", study, "--layer", "28", "--channel", "200")
    assert answer.code == 2
    assert "conv5_1 has channels 0-127; got 200" in answer.err


@pytest.mark.both
def test_a_dream_has_no_channels(beholder: Beholder, dream_job: Make) -> None:
    answer = beholder("channels", "--study", dream_job(chunks=0))
    assert answer.code == 2
    assert "is a dream" in answer.err


def test_layers(beholder: Beholder) -> None:
    found = rows(beholder("layers", "--json"))
    assert found[28] == {
        "layer": 28,
        "name": "conv5_1",
        "kind": "conv",
        "channels": 512,
        "stride": 16,
        "receptive_field": LAYERS[28].receptive_field,
    }
    assert rows(beholder("layers", "--network", "specimens", "--json"))[28]["channels"] == 128
    assert beholder("layers").out.count("relu") == 16 * 2  # name and kind
    assert beholder("layers", "--network", "resnet").code == 2
    assert "once a worker has loaded it" in beholder("layers", "--network", "mine.pth").err


def test_the_default_network_says_which_channels_there_are(
    beholder: Beholder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEHOLDER_NETWORK", "specimens")
    assert rows(beholder("layers", "--json"))[28]["channels"] == 128
    wrong = "beholder: on specimens, {} has channels 0-127; got {}. `beholder layers --network "
    for arguments, layer, number in (
        (("channel", "relu5_4/260"), "relu5_4", 260),
        (("channel", "relu5_4/900"), "relu5_4", 900),
        (("channels", "--layer", "conv5_1", "--channel", "260"), "conv5_1", 260),
        (("channels", "--layer", "conv5_1", "--channel", "900"), "conv5_1", 900),
    ):
        answer = beholder(*arguments)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err == wrong.format(layer, number) + "specimens` lists them.\n"
    monkeypatch.setenv("BEHOLDER_NETWORK", "specimns")
    answer = beholder("layers")
    assert (answer.code, answer.out) == (2, "")
    assert "no network 'specimns'" in answer.err


@pytest.mark.both
def test_networks(beholder: Beholder, home: Path) -> None:
    found = {row["name"]: row["here"] for row in rows(beholder("networks", "--json"))}
    assert found == {"vgg19": False, "specimens": True, "random:SEED": True, "PATH": None}
    (home / "networks").mkdir(parents=True)
    (home / "networks" / "vgg19-dcbb9e9d.pth").write_bytes(b"weights")
    assert rows(beholder("networks", "--json"))[0]["here"] is True
    assert "specimens" in beholder("networks").out


def checks(answer: Any) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in json.loads(answer.out)}


def test_doctor_finds_the_embedded_default_fit(beholder: Beholder) -> None:
    answer = beholder("doctor", "--json")
    assert answer.code == 0
    found = checks(answer)
    assert {name for name, check in found.items() if check["needed"]} >= {"database", "store"}
    assert found["service"]["ok"] is False
    lines = beholder("doctor").out.splitlines()
    assert all(line[0] in "✓✗" for line in lines)
    assert len(lines) == len(found)


def test_doctor_says_what_is_missing(
    beholder: Beholder, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEHOLDER_REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    monkeypatch.setenv("BEHOLDER_DATABASE_URL", f"sqlite:///{home / 'other.db'}")
    answer = beholder("doctor", "--json")
    assert answer.code == 2
    found = checks(answer)
    assert "does not answer" in found["redis"]["detail"]
    assert "secret" not in answer.out
    assert "beholder db upgrade" in found["database"]["detail"]


def test_doctor_survives_a_data_folder_that_is_a_file(
    beholder: Beholder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_bytes(b"")
    monkeypatch.setenv("BEHOLDER_HOME", str(tmp_path / "taken"))
    answer = beholder("doctor")
    assert answer.code == 2
    assert "BEHOLDER_HOME" in answer.out
