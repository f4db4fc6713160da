"""The shipped weights: their form, and what they can still name."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from beholder.science.networks import load_network
from beholder.specimens import record
from beholder.specimens.architecture import build
from beholder.specimens.draw import CLASSES
from beholder.specimens.pool import HELD_OUT_SEED, Pool, draw_pool

PATH = Path(record.__file__).with_name("specimens.safetensors")


@pytest.fixture(scope="module")
def held_out() -> Pool:
    return draw_pool(per_class=5, size=256, seed=HELD_OUT_SEED, workers=1)


def test_the_file_is_small_half_precision_and_complete() -> None:
    assert PATH.stat().st_size <= 4_000_000
    with safe_open(PATH, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    expected = build(len(CLASSES), batch_norm=False).state_dict()
    assert {name: value.shape for name, value in tensors.items()} == {
        name: value.shape for name, value in expected.items()
    }
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    assert all(value.isfinite().all() for value in tensors.values())


def test_the_metadata_says_how_to_use_it() -> None:
    with safe_open(PATH, "pt") as file:
        metadata = file.metadata()
    assert tuple(json.loads(metadata["labels"])) == CLASSES
    assert (metadata["architecture"], metadata["avgpool"]) == ("vgg19", "1")
    assert {"steps", "refine_steps", "seed", "minutes", "torch", "command"} <= set(
        json.loads(metadata["training"])
    )


@pytest.mark.slow
@pytest.mark.parametrize(("side", "floor"), [(112, 0.96), (224, 0.96)])
def test_held_out_pictures_are_named(held_out: Pool, side: int, floor: float) -> None:
    recalls = record.recalls(load_network("specimens").module, held_out, side)
    assert record.mean(recalls) >= floor
    assert min(recalls.values()) >= 0.6, recalls  # five pictures a class: one may miss two


def test_the_card_lists_every_class() -> None:
    text = PATH.with_name("CARD.md").read_text()
    assert all(f"| {label} |" in text for label in CLASSES)
