"""Batches that do not fit: halved, finished, and remembered by the next worker."""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
FITS = 3

SMALL_DEVICE = f"""
import sys

class Small:
    def find_spec(self, name, path=None, target=None):
        if name != "worker.dreams":
            return
        sys.meta_path.remove(self)
        import os
        import torch
        from beholder.science import dream as science

        real = science.dream

        def dream(network, pictures, **options):
            with open(os.environ["SIZES"], "a") as file:
                print(len(pictures), file=file)
            if len(pictures) > {FITS}:
                raise torch.OutOfMemoryError("out of memory")
            return real(network, pictures, **options)

        science.dream = dream

sys.meta_path.insert(0, Small())
"""


def test_a_batch_that_does_not_fit_is_halved_and_remembered(machine: Any, tmp_path: Path) -> None:
    sizes = tmp_path / "sizes"
    (tmp_path / "sitecustomize.py").write_text(SMALL_DEVICE)
    machine.env |= {"PYTHONPATH": str(tmp_path), "SIZES": str(sizes)}
    job = ("submit", "--noise", 16, "--steps", 3, "--size", 64, "--layer", 20)

    def tried() -> list[int]:
        return [int(line) for line in sizes.read_text().split()]

    up = machine.start("up")
    first = machine.json(*job)["id"]
    row = machine.ended(first)
    assert (row["done"], row["failed"]) == (16, 0)
    assert sum(size for size in tried() if size <= FITS) == 16, "some ran twice"
    assert max(tried()) > FITS
    up.terminate()
    assert up.wait(30) == 0
    remembered = json.loads((Path(machine.env["BEHOLDER_HOME"]) / "batch-sizes.json").read_text())
    assert set(remembered.values()) <= set(range(1, FITS + 1))
    sizes.write_text("")
    machine.start("up")
    again = machine.json(*job)["id"]
    row = machine.ended(again)
    assert (row["done"], row["failed"]) == (16, 0)
    assert max(tried()) <= FITS, "what did not fit was tried again"
