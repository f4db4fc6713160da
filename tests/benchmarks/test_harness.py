"""The harness: timings in turn, ratios by round, verdicts, the table and the document."""

import json
import time

import pytest
import torch

from benchmarks.harness import (
    Noticed,
    Options,
    Row,
    Timing,
    alternate,
    document,
    options,
    print_table,
    row_of,
    run,
    times_faster,
    write_document,
)


def test_sides_take_turns_after_their_warmup():
    calls = []
    sides = {name: lambda name=name: calls.append(name) for name in "ab"}
    timings = alternate(sides, rounds=3, warmup=2)
    assert "".join(calls) == "aabb" + "ab" * 3
    assert [len(timing.seconds) for timing in timings.values()] == [3, 3]


def test_what_a_side_noticed_late_is_not_its_time():
    def late():
        time.sleep(0.05)
        return Noticed(0.04)

    timing = alternate({"late": late}, rounds=1, warmup=0)["late"]
    assert 0.01 <= timing.best < 0.04 + 0.01


def test_no_round_begins_after_the_time_is_up_but_three():
    calls = []
    timings = alternate(
        {"a": lambda: (calls.append(1), time.sleep(0.02))}, rounds=50, warmup=1, seconds_max=0.01
    )
    assert len(timings["a"].seconds) == 3
    assert len(calls) == 4


def test_a_timing_is_the_time_that_the_side_took():
    timing = alternate({"nap": lambda: time.sleep(0.02)}, rounds=3)["nap"]
    assert 0.02 <= timing.median < 0.2


def test_median_and_spread():
    timing = Timing((1.0, 4.0, 2.0))
    assert timing.median == 2.0
    assert timing.spread == 1.5


def test_a_ratio_is_of_rounds_not_of_medians():
    """The machine slowed down tenfold in the second round, for both sides alike."""
    timings = {"fast": Timing((1.0, 10.0, 1.0)), "slow": Timing((3.0, 30.0, 30.0))}
    assert times_faster(timings, "fast", "slow") == 3.0


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row("a", 2.8, "x", 2.8), True),
        (Row("a", 2.79, "x", 2.8), False),
        (Row("a", 3.0, "GiB", 3.0, "lower"), True),
        (Row("a", 3.1, "GiB", 3.0, "lower"), False),
        (Row("a", 3.1, "GiB"), None),
        (Row("a", None, "x", 2.8, detail="no GPU"), False),
        (Row("a", None), None),
    ],
)
def test_a_goal_is_met_or_not(row, met):
    assert row.met is met


def test_the_table_is_aligned_and_says_what_was_missed(capsys):
    print_table(
        [
            Row("dream", 3.14159, "x", 2.8, detail="224 px"),
            Row("memory", 12345, "MiB", 3000, "lower"),
            Row("peer", None, detail="does not install"),
        ]
    )
    assert capsys.readouterr().out == (
        "figure  value         goal                 how\n"
        "dream   3.14x         ≥ 2.8x       met     224 px\n"
        "memory  12,345 MiB    ≤ 3,000 MiB  MISSED\n"
        "peer    not measured                       does not install\n"
    )


def test_a_document_holds_the_rows_and_names_no_host_and_no_path(tmp_path):
    rows = [Row("dream", 3.0, "x", 2.8), Row("peer", None)]
    write_document(document("science", rows), tmp_path / "rows.json")
    text = (tmp_path / "rows.json").read_text()
    found = json.loads(text)
    assert set(found) == {"machine", "versions", "when", "rows"}
    assert [row_of(fields) for fields in found["rows"]] == rows
    assert [fields["benchmark"] for fields in found["rows"]] == ["science", "science"]
    assert found["versions"]["torch"] == torch.__version__
    assert found["machine"]["cores"] >= 1
    assert "/" not in json.dumps(found["machine"])


def test_options_have_defaults():
    assert options([], about="", seconds=9.0) == Options("cpu", 9.0)
    given = options(["--device", "cuda", "--seconds", "3", "--json", "f"], about="", seconds=9.0)
    assert (given.device, given.seconds, str(given.json)) == ("cuda", 3.0, "f")


def test_run_prints_and_writes(monkeypatch, capsys, tmp_path):
    file = tmp_path / "rows.json"
    monkeypatch.setattr("sys.argv", ["nap", "--json", str(file), "--seconds", "2"])
    run("nap", lambda given: [Row("asked", given.seconds, "s")], about="", seconds=9.0)
    assert "2 s" in capsys.readouterr().out
    assert json.loads(file.read_text())["rows"][0]["value"] == 2.0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_the_gpu_asked_for_run_says_so_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["nap", "--device", "cuda"])
    run("nap", lambda given: pytest.fail("was measured"), about="", seconds=1.0)
    assert capsys.readouterr().out == "nap: this machine has no GPU; nothing was measured.\n"
