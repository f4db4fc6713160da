"""`fetch`: files whose names speak, results.json, contact sheets; again, halfway, and broken."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
from PIL import Image

from beholder.errors import StorageFull
from cli.context import Context
from cli.export import export_job

pytestmark = pytest.mark.slow  # with real servers or files; seconds in all

Beholder = Callable[..., Any]
Make = Callable[..., str]


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.both
def test_one_picture_an_item_and_step(beholder: Beholder, dream_job: Make, tmp_path: Path) -> None:
    job = dream_job(snapshots=(1,), channels=(3, 17), noise=1, seed=7)
    answer = beholder("fetch", job[:5], "-o", str(tmp_path / "out"))
    assert (answer.code, answer.out) == (0, "")
    assert "16 pictures, results.json and 9 contact sheets" in answer.err
    stems = ("kelpie1~0001", "kelpie2", "kelpie1~0003", "noise-0007")
    assert {name for name in names(tmp_path / "out") if "sheets" not in name} == {
        "results.json",
        *(
            f"{stem}--{layer}--ch3+17--step00{step}.png"
            for stem in stems
            for layer in ("20-relu4_1", "35-relu5_4")
            for step in (1, 3)
        ),
    }
    sheets = {name for name in names(tmp_path / "out") if name.startswith("sheets/")}
    assert sheets == {
        "sheets/pictures.png",
        *(f"sheets/{kind}--{stem}.png" for kind in ("layers", "steps") for stem in stems),
    }
    for sheet in sheets:
        with Image.open(tmp_path / "out" / sheet) as image:
            image.load()
            assert image.width > 500


def test_files_hold_their_own_item_s_picture(
    beholder: Beholder, dream_job: Make, tmp_path: Path
) -> None:
    beholder("fetch", dream_job(), "-o", str(tmp_path / "out"))
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    for item in results["items"]:
        (file,) = item["files"]
        with Image.open(tmp_path / "out" / file["file"]) as image:
            assert image.getpixel((0, 0)) == (0, 40 * item["position"] + 3, 0)


def test_results_json_of_a_dream(beholder: Beholder, dream_job: Make, tmp_path: Path) -> None:
    job = dream_job(failing=(4,))
    answer = beholder("fetch", job, "-o", str(tmp_path))
    assert "kelpies/kelpie2.png: the gradient overflowed" in answer.err
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results) == ["format", "beholder", "job", "spec", "network", "items"]
    assert results["network"] == {"name": "specimens", "sha256": "f" * 64}
    assert (results["job"]["id"], results["job"]["failed"]) == (job, 1)
    first, failed = results["items"][0], results["items"][4]
    assert first["objective"] == [1.0, 2.0, 3.0]
    assert (first["precision"], failed["precision"]) == ("float32", None)
    assert (first["layer"], first["layer_name"], first["state"]) == (20, "relu4_1", "done")
    assert (failed["state"], failed["files"]) == ("failed", [])
    assert failed["error"].startswith("the gradient overflowed")


@pytest.mark.both
def test_results_of_a_study(beholder: Beholder, study_job: Make, tmp_path: Path) -> None:
    answer = beholder("fetch", study_job(), "-o", str(tmp_path / "out"))
    assert answer.code == 0
    assert names(tmp_path / "out") == {"results.json", "sheets/study.png"}
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["summary"]["targets_kept"] == 1
    assert results["chosen"][-1] == {"layer": 36, "layer_name": "pool5", "channels": [0, 1]}
    item = results["items"][1]
    assert (item["role"], item["verdicts"]["blinded"]["label"]) == ("target", "toy terrier")
    assert item["verdicts"]["intact"]["top5"] == [["kelpie", 0.9], ["skunk", 0.05]]


def test_a_job_without_items_yet_and_the_default_folder(
    beholder: Beholder, dream_job: Make, tmp_path: Path
) -> None:
    job = dream_job(chunks=0)
    assert beholder("fetch", job).code == 0
    results = json.loads((tmp_path / f"beholder-{job}" / "results.json").read_text())
    assert len(results["items"]) == 6


def test_a_running_job_gives_what_is_done_and_the_rest_later(
    beholder: Beholder, dream_job: Make, context: Context, tmp_path: Path
) -> None:
    job = dream_job(chunks=2)
    answer = beholder("fetch", job, "-o", str(tmp_path / "out"))
    assert answer.code == 0
    assert "2 of 6 so far. Fetch again later." in answer.err
    assert "2 pictures" in answer.err


def test_fetching_again_writes_only_what_is_missing(
    beholder: Beholder, dream_job: Make, tmp_path: Path
) -> None:
    job, out = dream_job(), tmp_path / "out"
    beholder("fetch", job, "-o", str(out))
    gone, broken, *rest = sorted(out.glob("*.png"))
    gone.unlink()
    broken.write_bytes(b"cut short")
    before = {path: path.stat().st_mtime_ns for path in rest}
    assert "(4 there already)" in beholder("fetch", job, "-o", str(out)).err
    assert {path: path.stat().st_mtime_ns for path in rest} == before
    with Image.open(gone) as one, Image.open(broken) as other:
        assert one.size == other.size == (32, 32)


def test_another_job_s_folder_is_left_alone(
    beholder: Beholder, dream_job: Make, tmp_path: Path
) -> None:
    first, second, out = dream_job(), dream_job(), tmp_path / "out"
    assert beholder("fetch", first, "-o", str(out)).code == 0
    before = (out / "results.json").read_bytes()
    answer = beholder("fetch", second, "-o", str(out))
    assert answer.code == 2
    assert f"holds the results of job {first}" in answer.err
    assert (out / "results.json").read_bytes() == before


@pytest.mark.both
def test_a_result_lost_in_the_store_is_said(
    beholder: Beholder, dream_job: Make, home: Path, tmp_path: Path
) -> None:
    job = dream_job()
    shutil.rmtree(home / "store" / "results")
    answer = beholder("fetch", job, "-o", str(tmp_path / "out"))
    assert answer.code == 1
    assert "gone from the store" in answer.err
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert all("gone from the store" in item["error"] for item in results["items"])


@pytest.mark.both
def test_a_result_damaged_in_the_store_is_said_and_not_written(
    beholder: Beholder, dream_job: Make, home: Path, tmp_path: Path
) -> None:
    job = dream_job()
    flipped, cut, *_ = sorted((home / "store" / "results").rglob("*.png"))
    data = bytearray(flipped.read_bytes())
    data[-20] ^= 1
    flipped.write_bytes(data)
    cut.write_bytes(cut.read_bytes()[:50])
    answer = beholder("fetch", job, "-o", str(tmp_path / "out"))
    assert answer.code == 1
    line = "2 damaged files in the store, not written: run `beholder verify --mend`."
    assert answer.err.splitlines().count(line) == 1
    assert "4 pictures" in answer.err
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [item["error"] for item in results["items"] if not item["files"]] == [
        "1 of its files are damaged in the store: run `beholder verify --mend`."
    ] * 2
    assert len(list((tmp_path / "out").glob("*.png"))) == 4


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_one_line(
    beholder: Beholder, dream_job: Make, tmp_path: Path
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    answer = beholder("fetch", dream_job(), "-o", str(tmp_path / "locked"))
    assert answer.code == 2
    assert answer.err.count("\n") == 1


def test_a_folder_below_a_file_is_one_line(
    beholder: Beholder, dream_job: Make, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    answer = beholder("fetch", dream_job(), "-o", str(tmp_path / "file" / "out"))
    assert answer.code == 2
    assert answer.err.startswith("beholder: ")
    assert "choose another folder with -o DIR" in answer.err
    assert answer.err.count("\n") == 1


def test_a_full_disk_leaves_whole_files_only(
    context: Context, dream_job: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, out = dream_job(), tmp_path / "out"
    real, room = Path.open, 3

    def open_until_full(path: Path, mode: str = "r", *rest: Any, **options: Any) -> IO[Any]:
        nonlocal room
        if mode == "xb":
            room -= 1
            if room < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", open_until_full)
    with pytest.raises(StorageFull, match="no room left in"):
        export_job(context.desk, job, out)
    monkeypatch.undo()
    assert all(name.endswith("step003.png") for name in names(out))
    assert len(names(out)) == 2  # results.json was open, and is not there


def test_progress_reaches_the_total(context: Context, dream_job: Make, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    exported = export_job(
        context.desk,
        dream_job(),
        tmp_path,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(number, 6) for number in range(1, 7)]
    assert (exported.files, exported.new, exported.failed) == (6, 6, 0)
    assert all(sheet.is_file() for sheet in exported.sheets)


def test_a_picture_that_failed_everywhere_gets_no_sheet_of_its_own(
    beholder: Beholder, dream_job: Make, pictures: Path, tmp_path: Path
) -> None:
    (pictures / "broken.jpg").write_bytes(b"no picture")
    answer = beholder("fetch", dream_job(), "-o", str(tmp_path / "out"))
    assert answer.code == 0
    assert answer.err.count("kelpies/broken.jpg: not a picture that can be read") == 1
    assert "2 items without a result" in answer.err
    sheets = {path.name for path in (tmp_path / "out" / "sheets").iterdir()}
    assert sheets == {
        "pictures.png",
        *(f"layers--{stem}.png" for stem in ("kelpie1~0002", "kelpie2", "kelpie1~0004")),
    }


@pytest.mark.both
def test_what_each_dream_changed(
    beholder: Beholder, dream_job: Make, study_job: Make, tmp_path: Path
) -> None:
    job = dream_job(size=32, snapshots=(1,), layers=(20,), noise=1)
    answer = beholder("fetch", job, "-o", str(tmp_path / "out"), "--difference")
    assert answer.code == 0
    assert "8 pictures, 3 differences, results.json" in answer.err
    changed = tmp_path / "out" / "differences"
    assert len(list(changed.iterdir())) == 3
    # From (80, 20, 20) to (0, 43, 0): the red changed most.
    with Image.open(changed / "kelpie2--20-relu4_1--step003.png") as image:
        assert image.size == (32, 32)
        assert image.getcolors() == [(1024, (255, round(23 * 255 / 80), round(20 * 255 / 80)))]
    assert "is a study" in beholder("fetch", study_job(), "--difference").err
