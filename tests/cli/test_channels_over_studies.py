"""`channel`, `channels --for`, `--export`, `overlap`, `features`: what they print, and refuse."""

import csv
import json
import re
import sys

import pyarrow.parquet
import pytest

from beholder.intake import find_pictures, take_in
from beholder.jobs import claims, finish, weights
from beholder.jobs.channel_records import store_channel_effects
from beholder.jobs.models import Job
from beholder.jobs.outcomes import (
    ChannelClassRow,
    ChannelRow,
    ClassRow,
    EffectRow,
    ExemplarRow,
    Judgement,
    VerdictOutcome,
    digest,
)
from beholder.jobs.queries import get_job
from beholder.jobs.record_export import COLUMNS
from beholder.jobs.submit import create_job
from beholder.specs import StudySpec
from cli.channel_export import export_channels
from tests.cli.conftest import SHA256

pytestmark = pytest.mark.slow  # real databases; seconds in all

RELU = 29
CLASSES = {"kelpie": (12.0, 60.0), "germanshepherd": (6.0, 20.0)}  # sums, squares of 3 pictures


@pytest.fixture
def study(context, pictures):
    """A function: a finished study of two classes, of which relu5_1 has 128 channels."""

    def make(*, chosen=(100, 7), name="kelpies"):
        found = find_pictures([], [pictures], recursive=False)
        entries = list(take_in(context.store, found, max_pixels=10**8, role="target"))
        job = create_job(context.db, StudySpec.build(network="specimens"), entries, name=name).id
        while taken := claims.claim_next(context.db, worker="test", lease_s=60):
            (claim,) = taken
            weights.record_network(context.db, [claim], "specimens", SHA256)
            if claim.stage == "measure":
                finish.finish_measure(context.db, claim, judged(claim), partial="partial")
            elif claim.stage == "choose":
                choose(context, claim, chosen)
            else:
                finish.finish_classify(context.db, claim, judged(claim))
        return job

    return make


def judged(claim):
    verdict = Judgement("kelpie", 7, 0.9, (("kelpie", 0.9),))
    return [VerdictOutcome(item.position, verdict) for item in claim.items]


def choose(context, claim, chosen):
    channels = [
        ChannelRow(
            RELU, channel, 3, 0, 4.0, 1.0, 9.0, chosen=channel in chosen,
            correlated=((7, 0.91),) if channel == 100 else None,
        )
        for channel in range(128)
    ]  # fmt: skip
    finish.finish_choose(
        context.db,
        claim,
        channels,
        exemplars=[ExemplarRow(RELU, 100, 0, 1, 8.0, "strongest", 0.25, 0.5, 0.75, 1.0)],
        classes=[
            ClassRow(number, label, "target" if not number else "control", 3, digest(label))
            for number, label in enumerate(CLASSES)
        ],
        by_class=[
            ChannelClassRow(number, RELU, 100, 3 - number, *CLASSES[label], 6.0)
            for number, label in enumerate(CLASSES)
        ],
        target_pictures=3,
        control_pictures=3,
    )


@pytest.mark.both
def test_a_channel_s_record(beholder, study):
    job = study()
    shown = beholder("channel", "conv5_1/100")
    assert shown.code == 0
    assert "conv5_1 is read after its ReLU: this is relu5_1's record." in shown.err
    assert "too few to say whether it is dead or always on; active in 5 of 6 pictures" in shown.err
    assert f"correlated channels, in study {job}: 7 (r 0.91)" in shown.err
    assert shown.out.index("kelpie") < shown.out.index("germanshepherd")
    assert "25-75% across, 50-100% down" in shown.out


def test_a_channel_s_effects_are_on_targets_and_on_others(beholder, study, context):
    job = study()
    row = EffectRow(RELU, 100, 0, 5.0, -2.0, -3.0, -1.0, 0.1, -0.1, 0.3, "kelpie", "auroc")
    with context.db.write() as session:
        store_channel_effects(session, session.get(Job, job), [row])
    shown = beholder("channel", "29/100").out
    heads, values = (
        [cell.strip() for cell in re.split("[┃│]", line)][1:-1]
        for line in shown.splitlines()
        if "on others" in line or "auroc" in line
    )
    told = dict(zip(heads, values, strict=True))
    assert (told["effect"], told["interval"]) == ("-2", "-3 to -1")
    assert (told["on others"], told["on others interval"]) == ("0.1", "-0.1 to 0.3")
    (record,) = json.loads(beholder("channel", "29/100", "--json").out)["records"]
    assert record["effects"][0]["control_effect_high"] == 0.3


@pytest.mark.both
def test_a_channel_s_record_as_json(beholder, study):
    job = study()
    document = json.loads(beholder("channel", "29/100", "--network", "specimens", "--json").out)
    (record,) = document["records"]
    assert (document["layer_name"], document["channel"]) == ("relu5_1", 100)
    assert (record["size"], record["normalize"], record["studies"]) == ("224", False, [job])
    assert [one["mean"] for one in record["classes"]] == [4.0, 2.0]
    assert record["chosen_in"] == [job]
    assert record["dreams"] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("channel", "100"), "a channel is written with its layer, as in conv5_1/100; got '100'"),
        (("channel", "conv9/1"), "no layer 'conv9'"),
        (("channel", "conv5_1/512"), "conv5_1 has channels 0-511; got 512"),
        (("channel", "pool5/1"), "pool5 has no records"),
        (("channel", "conv5_1/7"), "no study has measured relu5_1/7 by class"),
        (("channels", "--limit", "3"), "--limit needs --for CLASS"),
        (("channels", "--for", "kelpie", "--top", "3"), "leave out --top"),
        (("channels", "--for", "kelpie", "--not-for", "cat"), "classes are kelpie, germanshepherd"),
        (("channels", "--for", "kelpie", "--layer", "pool5"), "pools have no records"),
        (("channels", "--export", "a.xlsx"), "--export writes .parquet or .csv; got 'a.xlsx'"),
        (("channels", "--export", "a.csv", "--top", "3"), "leave out --top"),
    ],
)
def test_what_is_refused_in_one_line(beholder, study, arguments, sentence):
    study()
    answer = beholder(*arguments)
    assert answer.code == 2
    assert sentence in answer.err
    assert len(answer.err.strip().splitlines()) == 1


@pytest.mark.both
def test_channels_for_one_class_and_not_another(beholder, study):
    study()
    shown = beholder("channels", "--for", "kelpie", "--not-for", "germanshepherd")
    assert shown.code == 0
    assert "kelpie (3 pictures) against germanshepherd (3 pictures), on specimens" in shown.err
    rows = json.loads(beholder("channels", "--for", "kelpie", "--layer", "28", "--json").out)
    assert [(row["layer"], row["channel"], row["other"]) for row in rows] == [
        (RELU, 100, "all others")
    ]
    none = beholder("channels", "--for", "germanshepherd", "--not-for", "kelpie")
    assert "No channel is stronger for the one and not for the other." in none.err


@pytest.mark.both
def test_export_to_csv(beholder, study, tmp_path):
    job = study()
    said = beholder("channels", "--export", "records/all.csv")
    assert said.code == 0
    assert "2 rows in records/all.csv" in said.err
    with (tmp_path / "records" / "all.csv").open(encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert list(first) == list(COLUMNS)
    assert (first["study"], first["class"], first["mean"], first["chosen"]) == (
        job, "kelpie", "4.0", "True",
    )  # fmt: skip
    assert (second["n"], second["active"], second["effect"]) == ("3", "2", "")


def test_export_to_parquet_has_the_same_rows_with_types(beholder, study, tmp_path):
    study()
    study(chosen=(7,), name="others")
    assert beholder("channels", "--export", "all.parquet").code == 0
    found = pyarrow.parquet.read_table(tmp_path / "all.parquet")
    assert found.column_names == list(COLUMNS)
    assert found["chosen"].to_pylist() == [False, False, True, True]  # the newest study first
    assert found["sum"].to_pylist() == [12.0, 6.0] * 2
    assert found["rank"].null_count == 4
    assert beholder("channels", "--export", "some.parquet", "--chosen").code == 0
    assert pyarrow.parquet.read_metadata(tmp_path / "some.parquet").num_rows == 2


def test_a_failed_export_leaves_the_old_file(tmp_path):
    path = tmp_path / "all.csv"
    path.write_text("old")

    def broken():
        yield dict.fromkeys(COLUMNS, 1)
        raise RuntimeError("the database went away")

    with pytest.raises(RuntimeError):
        export_channels(path, broken())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_parquet_without_pyarrow_names_the_way_out(beholder, study, monkeypatch):
    study()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = beholder("channels", "--export", "all.parquet")
    assert answer.code == 2
    assert "Parquet needs pyarrow" in answer.err


@pytest.mark.both
def test_overlap(beholder, study):
    first, second = study(), study(chosen=(7, 9), name="others")
    shown = beholder("overlap", first, second)
    assert shown.code == 0
    assert "1 of 3 channels are in both (Jaccard 0.33)" in shown.err
    assert "both: relu5_1/7" in shown.err
    document = json.loads(beholder("overlap", first, second, "--json").out)
    assert document["only_second"] == [[RELU, 9]]
    assert document["expected"] == pytest.approx(4 / 128)


@pytest.mark.both
def test_features(beholder, study, context):
    job = study()
    said = beholder("features", job, "--limit", "1", "--steps", "3", "--json")
    assert said.code == 0
    assert "1 dream queued" in said.err
    assert "1 more channel found: --limit 2 takes all." in said.err
    (row,) = json.loads(said.out)
    dream = get_job(context.db, row["job"])
    assert (dream.name, dream.priority, dream.spec["steps"]) == ("kelpies relu5_1/7", "low", 3)
    wrong = beholder("features", job, "--steps", "0", "--learning-rate", "0")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert wrong.err.startswith("beholder: --steps: input should be greater than or equal to 1")
    assert "; --learning-rate: input" in wrong.err
    again = beholder("features", job)
    assert "1 dream queued, 1 there or queued already." in again.err
    assert get_job(context.db, again.out.strip()).spec["channels"] == [100]
