"""The gallery: what its measures say of known pictures, and that its page can be made."""

import pytest
import torch

from beholder.science.networks import load_network
from beholder.science.response import Response
from benchmarks import gallery
from benchmarks.gallery_sides import Setting, Side


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


def test_the_page_has_what_each_side_reached(setting, tmp_path, monkeypatch, capsys):
    page = tmp_path / "gallery.md"
    (tmp_path / "pictures").mkdir()
    page.write_text(f"# Words\n{gallery.BEGIN}\nas it was\n{gallery.END}\nmore\n")
    monkeypatch.setattr(gallery, "PAGE", page)

    def absent(number, steps, seed):
        raise ImportError("there is no such thing")

    offered = gallery.sides

    def some(setting):
        yield next(offered(setting))
        yield Side("other", "other", "not installed", absent)

    monkeypatch.setattr(gallery, "sides", some)
    gallery.main(["--seconds", "0.01", "--size", "32", "--channels", "2", "--caricature", "1"])
    found = page.read_text()
    assert found.startswith("# Words\n")
    assert found.endswith("more\n")
    assert "as it was" not in found
    assert "**feature** (beholder" in found
    assert "dots (53)" in found
    assert "other was left out: there is no such thing." in found
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {
        "gallery-feature.jpg",
        "gallery-caricature.jpg",
    }
    assert "feature: channel 53" in capsys.readouterr().err
