"""Batches that do not fit: halved and remembered, unless another program is the reason."""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
FITS = 3

SMALL_DEVICE = f"""
import os
import sys

class Small:
    def find_spec(self, name, path=None, target=None):
        if name not in ("worker.rooms", "worker.dreams"):  # the first that takes what is changed
            return
        sys.meta_path.remove(self)
        import torch
        import worker.memory
        from beholder.science import dream as science

        real = science.dream

        def crowded():
            return os.path.exists(os.environ["NEIGHBOUR"])

        def dream(network, pictures, **options):
            with open(os.environ["SIZES"], "a") as file:
                print(len(pictures), file=file)
            if len(pictures) > {FITS} or crowded():
                raise torch.OutOfMemoryError("out of memory")
            return real(network, pictures, **options)

        science.dream = dream
        worker.memory.share_of_others = lambda *_: 0.95 * crowded()

sys.meta_path.insert(0, Small())
"""


@pytest.fixture
def small(machine: Any, tmp_path: Path) -> Any:
    """A machine whose device holds few pictures, and none while there is a file `neighbour`."""
    (tmp_path / "sitecustomize.py").write_text(SMALL_DEVICE)
    machine.env |= {
        "PYTHONPATH": str(tmp_path),
        "SIZES": str(tmp_path / "sizes"),
        "NEIGHBOUR": str(tmp_path / "neighbour"),
    }
    return machine


def sizes_remembered(machine: Any) -> Path:
    return Path(machine.env["BEHOLDER_HOME"]) / "batch-sizes.json"


def test_memory_that_another_program_holds_is_waited_for(small: Any, tmp_path: Path) -> None:
    (tmp_path / "neighbour").touch()
    small.up(wait=False)
    job = small.dreams(FITS, steps=3, layer=20)
    reason = small.until(lambda: small.view(job).paused)
    assert reason == "other programs hold 95% of the memory: end some of them, or wait."
    (tmp_path / "neighbour").unlink()
    row = small.ended(job)
    assert (row["done"], row["failed"]) == (FITS, 0)
    assert not sizes_remembered(small).exists()


def test_a_batch_that_does_not_fit_is_halved_and_remembered(small: Any, tmp_path: Path) -> None:
    sizes, machine = tmp_path / "sizes", small

    def tried() -> list[int]:
        return [int(line) for line in sizes.read_text().split()]

    up = machine.up(wait=False)
    row = machine.ended(machine.dreams(16, steps=3, layer=20))
    assert (row["done"], row["failed"]) == (16, 0)
    assert sum(size for size in tried() if size <= FITS) == 16, "some ran twice"
    assert max(tried()) > FITS
    up.terminate()
    assert up.wait(30) == 0
    remembered = json.loads(sizes_remembered(machine).read_text())
    assert set(remembered.values()) <= set(range(1, FITS + 1))
    sizes.write_text("")
    machine.up(wait=False)
    row = machine.ended(machine.dreams(16, steps=3, layer=20))
    assert (row["done"], row["failed"]) == (16, 0)
    assert max(tried()) <= FITS, "what did not fit was tried again"
