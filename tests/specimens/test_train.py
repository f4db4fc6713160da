"""The parts of training: batches, the overlap term, recalls, the check, the files written."""

from pathlib import Path

import numpy as np
import pytest
import torch

from beholder.specimens import record, train
from beholder.specimens.architecture import build
from beholder.specimens.draw import CLASSES
from beholder.specimens.pool import Pool, deal, preprocess
from beholder.specimens.selective import Size
from beholder.specimens.train import overlap


def noise_pool(count: int = 8, side: int = 48) -> Pool:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (count, 3, side, side), generator=generator)
    return Pool(pictures.to(torch.uint8), torch.arange(count) % len(CLASSES))


def test_batches_repeat_with_their_seed() -> None:
    a, b = (deal(noise_pool(), batch=8, side=32, random=np.random.default_rng(1)) for _ in range(2))
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], b[1])
    assert a[0].shape == (8, 3, 32, 32)
    assert a[0].min() >= 0
    assert a[0].max() <= 1


def test_preprocessing_keeps_a_flat_picture_flat() -> None:
    flat = torch.full((1, 3, 256, 256), 51, dtype=torch.uint8)
    for side in (112, 224):
        assert torch.allclose(preprocess(flat, side), torch.full((1, 3, side, side), 0.2))


def test_overlap_is_one_for_equal_classes_and_nought_for_disjoint_ones() -> None:
    labels = torch.tensor([0, 1])
    same = torch.ones(2, 4, 3, 3)
    apart = torch.zeros(2, 4, 3, 3)
    apart[0, :2], apart[1, 2:] = 1, 1
    assert overlap([same], labels).item() == pytest.approx(1, abs=1e-3)
    assert overlap([apart], labels).item() == pytest.approx(0, abs=1e-3)


def test_the_check_names_the_weak_class() -> None:
    record.check({112: {"star": 0.95}}, 0.9)
    with pytest.raises(RuntimeError, match="heart 50% at 112 px"):
        record.check({112: {"star": 0.95, "heart": 0.5}}, 0.9)


def test_weights_and_card_are_written(tmp_path: Path) -> None:
    network = record.rounded(build(len(CLASSES), batch_norm=False).eval())
    recalls = {side: dict.fromkeys(CLASSES, 0.5) for side in record.SIDES}
    out = tmp_path / "weights.safetensors"
    record.write(out, network, training={"seed": 3}, recalls=recalls)
    again, training = record.read(out)
    assert training["seed"] == 3
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert "| star | 50.0% | 50.0% |" in (tmp_path / "CARD.md").read_text()


@pytest.mark.slow
def test_both_phases_in_one_command_or_the_second_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = Size(side=32, views=320, share=1, classes=3, pictures=6)
    monkeypatch.setattr(train, "SIZES", [(32, 1.0, 8)])
    monkeypatch.setattr(train, "BANK_SIZES", [tiny])
    monkeypatch.setattr(record, "SIDES", (32,))

    def run(out: str, *more: str) -> dict[str, object]:
        asked = f"--out {tmp_path / out} --per-class 3 --held-out 1 --workers 1 --floor 0".split()
        monkeypatch.setattr("sys.argv", ["train", *asked, "--refine-steps", "2", *more])
        train.main()
        return record.read(tmp_path / out)[1]

    whole = run("whole.safetensors", "--steps", "2")
    assert (whole["steps"], whole["refine_steps"]) == (2, 2)
    assert "refine_command" not in whole
    again = run("again.safetensors", "--from", str(tmp_path / "whole.safetensors"))
    assert again["command"] == whole["command"]
    assert "--from" in str(again["refine_command"])
