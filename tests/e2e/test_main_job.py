"""The main job through a real queue: submit, study, look, query."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from beholder.layers import LAYERS
from tests.e2e.servers import everywhere, on_files

pytestmark = pytest.mark.slow

SHARED = Path(__file__).resolve().parents[3] / "shared" / "pictures"
photographs = pytest.mark.skipif(not SHARED.is_dir(), reason="the photographs are not here")


@everywhere
def test_a_dream_batch_waited_for(machine: Any, spirals: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    row = machine.json(
        "submit", "--dir", spirals, "--layer", "12,28", "--steps", 6, "--snapshots", "2",
        "--size", 96, "--wait", "--output", out,
    )  # fmt: skip
    assert (row["state"], row["total"], row["done"], row["failed"]) == ("done", 10, 10, 0)
    pictures = sorted(path.name for path in out.glob("*.png"))
    assert len(pictures) == 20
    assert any("spiral-0" in name and "28" in name and "conv5_1" in name for name in pictures)
    with Image.open(out / pictures[0]) as image:
        assert image.size == (96, 96)
    stored = json.loads((out / "results.json").read_text())
    assert stored["job"]["id"] == row["id"]
    assert list((out / "sheets").glob("*.png"))
    assert machine.pids("redis-server") == []
    assert machine.pids("worker") == []


def test_a_study_and_its_channels(running: Any, spirals: Path, others: Path) -> None:
    row = running.json("study", "--dir", spirals, "--control", others, "--wait")
    assert (row["kind"], row["state"], row["total"], row["done"]) == ("study", "done", 10, 10)
    shown = running.json("show", row["id"])
    assert shown["network_sha256"]
    top = running.json("channels", "--layer", "conv5_1", "--top", 5)
    assert [channel["layer"] for channel in top] == [28] * 5
    assert top == sorted(top, key=lambda channel: -channel["count"])
    assert {"study", "layer", "channel", "count", "controls", "mean", "chosen"} <= set(top[0])
    assert top[0]["count"] >= 4
    chosen = running.json("channels", "--chosen")
    assert chosen
    assert all(channel["layer"] >= 20 and channel["count"] >= 4 for channel in chosen)
    twin = next(layer.index for layer in LAYERS if layer.name == "relu5_1")
    again = running.json("channels", "--layer", twin, "--top", 5)
    assert [channel["channel"] for channel in again] == [channel["channel"] for channel in top]


def test_queued_now_run_later(machine: Any, spirals: Path) -> None:
    said = machine.run("submit", "--dir", spirals, "--steps", 1, "--size", 64)
    assert "beholder up" in said.stderr
    (job,) = machine.json("jobs")
    assert (job["state"], job["total"]) == ("queued", 5)
    up = machine.start("up")
    assert machine.ended(job["id"])["state"] == "done"
    up.terminate()
    assert up.wait(30) == 0
    assert machine.pids("redis-server") == []
    assert machine.pids("worker") == []


def test_a_second_service_is_refused(running: Any) -> None:
    assert "already runs" in running.run("up", code=2).stderr
    assert running.pids("-m api") == [], "it was to have no page"
    assert "leave out --no-page" in running.run("up", "--no-page", "--port", 1, code=2).stderr


def test_noise_and_cancel_and_retry(running: Any) -> None:
    row = running.json("submit", "--noise", 3, "--steps", 100_000, "--layer", 35)
    running.until(lambda: running.view(row["id"]).state == "running")
    running.run("cancel", row["id"])
    assert running.job(row["id"])["state"] == "cancelled"
    quick = running.json("submit", "--noise", 1, "--steps", 1, "--layer", 3)
    assert running.ended(quick["id"])["done"] == 1  # the worker has let go of the long one
    assert "nothing to retry" in running.run("retry", quick["id"], code=2).stderr.lower()


def test_a_broken_picture_makes_exit_code_1(running: Any, spirals: Path) -> None:
    whole = (spirals / "spiral-1.png").read_bytes()
    (spirals / "spiral-1.png").write_bytes(whole[: len(whole) // 2])
    (spirals / "spiral-2.png").write_bytes(b"not a picture")
    (spirals / "notes.txt").write_text("passed over")
    row = running.json("submit", "--dir", spirals, "--steps", 1, "--size", 64, "--wait", code=1)
    assert (row["state"], row["done"], row["failed"]) == ("done", 3, 2)
    shown = running.run("show", row["id"]).stdout
    assert "spiral-1.png" in shown
    assert "cut short" in shown


@photographs
def test_a_study_of_the_photographs(running: Any) -> None:
    row = running.json(
        "study", "--dir", SHARED / "kelpies", "--control", SHARED / "controls",
        "--network", "random:0", "--size", 64, "--wait",
    )  # fmt: skip
    assert (row["state"], row["done"]) == ("done", 10)
    assert len(running.json("channels", "--layer", "conv5_1", "--top", 5)) == 5


@photographs
def test_dreams_of_the_photographs(running: Any) -> None:
    row = running.json(
        "submit", "--dir", SHARED / "kelpies", "--network", "random:0",
        "--layer", "conv1_2,10", "--steps", 2, "--size", 64, "--wait",
    )  # fmt: skip
    assert (row["state"], row["done"]) == ("done", 10)


@on_files  # another has to be there, with its tables
def test_many_first_commands_at_once_make_one_database(machine: Any) -> None:
    commands = [machine.start("jobs", "--json") for _ in range(6)]
    assert [command.wait(60) for command in commands] == [0] * 6
