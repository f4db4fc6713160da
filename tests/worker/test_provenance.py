"""What PNG files say of themselves, and that they are the same bytes whoever makes them."""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from beholder import __version__
from beholder.jobs.stock import record_pictures
from beholder.jobs.submit import noise_entries
from beholder.provenance import KEY, Provenance, read_provenance
from beholder.science.networks import load_network
from beholder.specs import DreamSpec
from cli.main import run

pytestmark = pytest.mark.slow  # imports torch

Draw = Callable[..., bytes]


@pytest.fixture
def asked(network: str) -> DreamSpec:
    """Dreams with all that a file may differ by: layers, snapshots, starts from noise."""
    return DreamSpec(
        network=network, size=48, layers=(5, 12), steps=4, snapshots=(2,), noise=2, seed=3
    )


def submit(bench: Any, spec: DreamSpec, draw: Draw, *, order: int = 1, **options: int) -> str:
    """Queue it of three pictures, in this order, and of noise."""
    entries = [bench.entry(draw(seed), f"kelpies/{seed}.png") for seed in range(3)]
    return str(bench.submit(spec, [*entries[::order], *noise_entries(spec)], **options))


def files(bench: Any, job_id: str) -> dict[tuple[str, int, int], bytes]:
    """Every file of a job, by source, layer and step; a start from noise is step 0."""
    found = {}
    for item in bench.items(job_id):
        assert item.state == "done", item.error
        for file in item.files:
            found[item.source, item.layer, file.step] = bench.store.get(file.path)
        if start := item.result.get("start"):
            found[item.source, item.layer, 0] = bench.store.get(start)
    return found


def test_a_file_says_all_of_itself_and_nothing_private(
    bench: Any, asked: DreamSpec, draw: Draw
) -> None:
    job = submit(bench, asked, draw)
    bench.run(job)
    found = files(bench, job)
    assert len(found) == 2 * 5 * 2 + 2
    pictures = {item.source: item.picture_sha256 for item in bench.items(job)}
    for (source, layer, step), data in found.items():
        says = read_provenance(data)
        noise = source.startswith("noise")
        assert says == Provenance(
            beholder=__version__,
            torch=torch.__version__,
            pillow=says.pillow,
            device=f"cpu {torch.backends.cpu.get_cpu_capability()}",
            precision="float32",
            network="tiny.safetensors",
            network_sha256=load_network(asked.network).sha256,
            source=source.removeprefix("kelpies/"),
            source_sha256=pictures[source],
            seed=int(source[-1]) if noise else None,
            layer=layer,
            step=step,
            spec={
                **asked.model_dump(mode="json"),
                "network": "tiny.safetensors",
                "layers": [layer],
                "precision": "float32",
                "noise": 1 if noise else 0,
                "seed": int(source[-1]) if noise else 3,
            },
        )
        for word in (job, str(Path(asked.network).parent), "kelpies", str(bench.settings.home)):
            assert word.encode() not in data
        assert data.index(f"iTXt{KEY}".encode()) < data.index(b"IDAT")


def test_the_same_bytes_in_any_batch_chunk_and_process(
    bench: Any, asked: DreamSpec, draw: Draw
) -> None:
    first = submit(bench, asked, draw)
    bench.run(first)
    expected = files(bench, first)
    # Another run, other places in the batch, other chunks; then two workers, at the same time.
    alone = submit(bench, asked, draw, order=-1, chunk_size=1)
    bench.run(alone)
    assert files(bench, alone) == expected
    both = submit(bench, asked, draw, chunk_size=2)
    with ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(bench.runner(name).run) for name in ("one", "other")]
        assert sum(one.result() for one in runs) == 6
    assert files(bench, both) == expected


@pytest.fixture
def beholder(
    bench: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run a command on the bench's database; its exit code, output and remarks."""
    monkeypatch.setenv("BEHOLDER_HOME", str(bench.settings.home))

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["beholder", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def test_again_makes_every_file_again(
    bench: Any, asked: DreamSpec, draw: Draw, beholder: Any, tmp_path: Path
) -> None:
    job = submit(bench, asked, draw)
    bench.run(job)
    found = files(bench, job)
    file = tmp_path / "copy.png"
    for key in (("kelpies/1.png", 12, 2), ("noise-4", 5, 0)):
        file.write_bytes(found[key])
        code, out, err = beholder("again", file)
        assert code == 0, err
        again = out.strip()
        bench.run(again)
        source, layer, step = key
        assert files(bench, again)[source.removeprefix("kelpies/"), layer, step] == found[key]
        assert bench.job(again).total == 1

    code, out, _ = beholder("inspect", file, "--json")
    row = json.loads(out)
    assert (code, row["seed"], row["layer_name"], row["step"]) == (0, 4, "conv2_1", 0)
    code, out, _ = beholder("inspect", file)
    assert "noise-4  noise, seed 4" in out
    assert load_network(asked.network).sha256 in out


def test_again_wants_the_very_picture_and_network(
    bench: Any, asked: DreamSpec, draw: Draw, beholder: Any, tmp_path: Path
) -> None:
    job = submit(bench, asked, draw)
    bench.run(job)
    file, picture = tmp_path / "copy.png", tmp_path / "picture.png"
    file.write_bytes(files(bench, job)["kelpies/2.png", 5, 4])
    kept = bench.items(job)[2].picture_sha256
    bench.store.remove(f"pictures/{kept[:2]}/{kept}")

    code, _, err = beholder("again", file)
    assert (code, err.count("\n")) == (2, 1)
    assert "say where it is with --picture" in err
    picture.write_bytes(draw(1))
    code, _, err = beholder("again", file, "--picture", picture)
    assert code == 2
    assert f"is not the picture that copy.png started from, whose SHA-256 is {kept[:12]}" in err
    picture.write_bytes(draw(2))
    code, out, err = beholder("again", file, "--picture", picture)
    assert code == 0, err
    bench.run(out.strip())
    assert files(bench, out.strip())["2.png", 5, 4] == file.read_bytes()

    says = read_provenance(file.read_bytes())
    stranger = says.model_copy(update={"network_sha256": "0" * 64})
    from worker.encoding import png

    file.write_bytes(png(torch.zeros(3, 40, 48), stranger).data)
    code, _, err = beholder("again", file)
    assert code == 2
    assert "no job here ran on tiny.safetensors (000000000000): say where the file is" in err


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"recipe": "deepdream", "jitter": 5, "octaves": 2, "noise": 2}, ("mask",)),
        ({"recipe": "guide", "jitter": 5, "octaves": 2}, ("guide",)),
        ({"recipe": "feature", "noise": 2}, ()),
        ({"recipe": "maco", "noise": 2}, ()),
        ({"recipe": "caricature"}, ()),
        ({"recipe": "feature", "noise": 2, "zoom": 1.2, "frames": 3}, ()),
    ],
)
def test_again_makes_what_is_random_again(
    bench: Any,
    network: str,
    draw: Draw,
    beholder: Any,
    tmp_path: Path,
    fields: dict[str, Any],
    named: tuple[str, ...],
) -> None:
    others = {field: bench.entry(draw(9)).picture for field in named}
    record_pictures(bench.db, others.values())
    hashes = {field: picture.sha256 for field, picture in others.items()}
    spec = DreamSpec.build(
        **{"layers": (10,), **fields}, **hashes, network=network, size=48, steps=3, seed=5
    )
    job = submit(bench, spec, draw)
    bench.run(job)
    assert {item.state for item in bench.items(job)} == {"done"}
    file = tmp_path / "copy.png"
    for item in (bench.items(job)[1], bench.items(job)[-1]):  # a picture's, and a noise's
        path = item.files[-1].path
        file.write_bytes(bench.store.get(path))
        code, out, err = beholder("again", file)
        assert code == 0, err
        bench.run(again := out.strip())
        made = bench.items(again)[read_provenance(file.read_bytes()).frame or 0]
        assert bench.store.get(made.files[-1].path) == file.read_bytes()
    assert len({bench.store.get(item.files[-1].path) for item in bench.items(job)}) == len(
        bench.items(job)
    )


def test_again_says_what_a_frame_of_a_folder_s_film_was_made_from(
    bench: Any, network: str, draw: Draw, beholder: Any, tmp_path: Path
) -> None:
    spec = DreamSpec(network=network, size=48, layers=(5,), steps=1, carry=0.5)
    frames = [b"no picture", draw(1), draw(2)]
    job = bench.submit(spec, [bench.entry(data, f"{n}.png") for n, data in enumerate(frames)])
    bench.run(job)
    for number, words in ((1, "began anew with it"), (2, "made from all before it")):
        file = tmp_path / f"{number}.png"
        file.write_bytes(bench.store.get(bench.items(job)[number].files[-1].path))
        code, _, err = beholder("again", file)
        assert (code, err.count("\n")) == (2, 1)
        assert f"{number}.png is frame {number} of a film" in err
        assert words in err


def test_again_wants_the_very_mask_and_guide(
    bench: Any, network: str, draw: Draw, beholder: Any, tmp_path: Path
) -> None:
    pictures = {"mask": bench.entry(draw(7)).picture, "guide": bench.entry(draw(8)).picture}
    record_pictures(bench.db, pictures.values())
    hashes = {field: picture.sha256 for field, picture in pictures.items()}
    spec = DreamSpec.build(
        recipe="guide", network=network, layers=(10,), size=48, steps=4, **hashes
    )
    job = submit(bench, spec, draw)
    bench.run(job)
    file = tmp_path / "copy.png"
    file.write_bytes(bench.store.get(bench.items(job)[0].files[-1].path))
    for kept in hashes.values():
        bench.store.remove(f"pictures/{kept[:2]}/{kept}")

    given: list[object] = []
    for field, seed in (("mask", 7), ("guide", 8)):
        code, _, err = beholder("again", file, *given)
        assert (code, err.count("\n")) == (2, 1)
        assert f"the store has not the {field} that copy.png was made with" in err
        assert f"say where it is with --{field}" in err
        picture = tmp_path / f"{field}.png"
        given += [f"--{field}", picture]
        picture.write_bytes(draw(1))
        code, _, err = beholder("again", file, *given)
        assert (code, err.count("\n")) == (2, 1)
        assert f"is not the {field} that copy.png was made with" in err
        picture.write_bytes(draw(seed))
    code, out, err = beholder("again", file, *given)
    assert code == 0, err
    bench.run(out.strip())
    assert bench.store.get(bench.items(out.strip())[0].files[-1].path) == file.read_bytes()

    file.write_bytes(bench.store.get(bench.items(plain(bench, network, draw))[0].files[-1].path))
    code, _, err = beholder("again", file, "--guide", tmp_path / "guide.png")
    assert (code, "copy.png was made without a guide" in err) == (2, True)


def plain(bench: Any, network: str, draw: Draw) -> str:
    """A job of the article's recipe, done."""
    job = submit(bench, DreamSpec(network=network, layers=(10,), size=48, steps=1), draw)
    bench.run(job)
    return job
