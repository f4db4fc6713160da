"""The gallery: what its measures say of known pictures, and that its page can be made."""

import time

import pytest
import torch

from beholder.science.networks import load_network
from beholder.science.response import Response
from benchmarks import gallery
from benchmarks.gallery_page import Reached, page
from benchmarks.gallery_sides import Budget, Setting, Side


def test_high_frequencies_are_those_of_known_waves():
    places = torch.arange(64)
    slow = torch.cos(2 * torch.pi * places * 4 / 64).expand(3, 64, 64) * 0.2 + 0.5
    fast = torch.cos(2 * torch.pi * places * 24 / 64).expand(3, 64, 64) * 0.1 + 0.5
    shares = gallery.fast_share(torch.stack([slow, fast, slow + fast]))
    assert shares == pytest.approx([0, 1, 0.2], abs=1e-3)  # half as strong: a quarter of the energy


@pytest.fixture(scope="module")
def setting():
    return Setting(load_network("specimens"), 5, 32)


def test_held_out_transforms_are_the_same_for_every_side_and_add_nothing(setting):
    pictures = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    found = gallery.held_out(setting, pictures, [3, 9])
    assert gallery.held_out(setting, pictures[[1]], [9]) == pytest.approx(found[1:])
    grey = torch.full((1, 3, 96, 96), 0.5)
    large = Setting(setting.network, 5, 96)  # whose edges, which are sheared in, count little
    plain = Response.of(setting.network, 5).maps(grey)[0].mean(dim=(1, 2))
    most = int(plain.argmax())
    reached = gallery.held_out(large, grey, [most])
    assert reached == pytest.approx([plain[most].item()], rel=0.1)


def test_every_side_has_the_same_time(setting):
    def spends(number, budget, seed):
        for _ in budget.through(range(1)):
            begun = time.process_time()
            while time.process_time() - begun < 0.003:
                pass
        return torch.zeros(1, 3, 32, 32)

    ours = next(gallery.sides(setting))
    made, missing = gallery.made_in(0.1, [ours, Side("other", "other", "", spends)], [3, 9])
    assert not missing
    for one in made:
        assert len(one.pictures) == 2
        assert min(one.steps) > 10
        assert one.seconds == pytest.approx([0.1, 0.1], abs=0.02)


def test_a_loop_over_a_tqdm_of_one_step_ends_with_that_step(setting):
    budget = Budget(0.01)
    taken = list(budget.through(range(7, 8)))
    assert taken[-1] == 7
    assert set(taken[:-1]) == {-1}
    assert budget.steps == len(taken)


def test_the_page_has_what_each_side_reached(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gallery, "PAGE", tmp_path / "gallery.md")

    def absent(number, budget, seed):
        raise ImportError("there is no such thing")

    def breaks(number, budget, seed):
        if seed:
            raise ValueError("it broke.\nhere")
        return torch.zeros(1, 3, 32, 32)

    offered = gallery.sides

    def some(setting):
        yield next(offered(setting))
        yield Side("other", "other", "not installed", absent)
        yield Side("third", "third", "broken", breaks)

    monkeypatch.setattr(gallery, "sides", some)
    gallery.main(["--seconds", "0.05", "--size", "32", "--channels", "2", "--caricature", "1"])
    found = gallery.PAGE.read_text()
    assert found.startswith("# Gallery\n")
    assert "**feature** (beholder" in found
    assert "dots (28)" in found
    assert "other was left out: there is no such thing." in found
    assert "third was left out: it broke." in found
    assert "{" not in found
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {
        "gallery-feature.jpg",
        "gallery-caricature.jpg",
    }
    assert "feature: channel 28" in capsys.readouterr().err


def test_the_page_says_where_ours_is_behind():
    ours = Side("feature", "beholder", "", None, against="lucent")
    rows = [
        Reached(ours, 10.0, 200, [3.0, 1.9], [0.01, 0.02]),
        Reached(Side("lucent", "torch-lucent", "", None), 10.1, 90, [2.0, 2.0], [0.1, 0.01]),
    ]
    text = page(
        rows, ["a", "b"], [], [], held_out=1, size=32, seconds=10, layer="conv1_1", tuned="1"
    )
    assert "a higher objective than lucent on 1 of 2 channels" in text
    assert "It reached no more on b (1.90, lucent 2.00: -5.0%)." in text
    assert "It was no cleaner on b (2.00%, lucent 1.00%)." in text
    assert "1.0% longer than the fastest" in text
