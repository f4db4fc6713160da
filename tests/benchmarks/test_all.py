"""`python -m benchmarks`: processes with limits, whose rows are kept whatever happens to them."""

import json

import pytest
import torch

from benchmarks import __main__ as runner
from benchmarks.__main__ import BENCHMARKS, Benchmark, main, measured, run_all


def test_the_limits_of_a_cpu_fit_into_ten_minutes():
    assert sum(benchmark.limit_s for benchmark in BENCHMARKS) <= 600


@pytest.mark.slow
def test_a_benchmark_is_a_process_and_its_rows_come_back(tmp_path, capsys):
    file = tmp_path / "new" / "all.json"
    few = Benchmark("submit", 300, words=("--pictures", "10"))
    assert run_all([few], "cpu", file) == 0
    rows = json.loads(file.read_text())["rows"]
    assert {row["benchmark"] for row in rows} == {"submit"}
    ratio, flushed, memory = rows  # both sides were run
    assert 0 < ratio["value"] < 10
    assert 0 < flushed["value"] < 10
    assert ratio["goal"] is None  # it is for more pictures
    assert memory["unit"] == "MiB"
    said = capsys.readouterr().out
    assert "programs want the" in said
    assert "submit 10 pictures, of cp -r's rate" in said


def test_what_takes_too_long_is_stopped_and_has_a_row(tmp_path):
    found, wrong = measured(Benchmark("rates", 0.3), "cpu", tmp_path)
    assert wrong == "stopped after 0.3 s"
    assert [(row["name"], row["detail"]) for row in found["rows"]] == [("all of rates", wrong)]


def test_a_gpu_has_limits_of_its_own(tmp_path):
    _, wrong = measured(Benchmark("rates", 60, gpu_limit_s=0.3), "cuda:0", tmp_path)
    assert wrong == "stopped after 0.3 s"
    assert {each.name for each in BENCHMARKS if each.limit_on("cuda")} == {
        "peers",
        "science",
        "tiles",
        "service",
    }


def test_what_fails_has_a_row_and_an_exit_status(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "BENCHMARKS", (Benchmark("nothing", 30),))
    file = tmp_path / "all.json"
    assert main(["--json", str(file)]) == 1
    (row,) = json.loads(file.read_text())["rows"]
    assert row["value"] is None
    assert "No module named benchmarks.nothing" in row["detail"]


def test_what_one_leaves_of_its_time_is_the_next_ones(tmp_path):
    file = tmp_path / "all.json"
    assert run_all([Benchmark("nothing", 60), Benchmark("nothing", 0)], "cpu", file) == 2
    rows = json.loads(file.read_text())["rows"]
    assert all("No module named benchmarks.nothing" in row["detail"] for row in rows)
    assert len(rows) == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line_and_is_done(capsys):
    assert main(["--device", "cuda"]) == 0
    assert capsys.readouterr().out == "This machine has no GPU; nothing was measured.\n"


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["sciense"])
    assert "no benchmark 'sciense': there are peers, " in capsys.readouterr().err
