"""Fourier pictures, phases and colours: there and back."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from beholder.science.colours import DEVIATIONS, Colours
from beholder.science.constants import Constant
from beholder.science.inputs import to_tensor
from beholder.science.maco import DECAY, Phases, magnitude_of
from beholder.science.spectrum import Fourier, frequencies, natural_scale
from beholder.specimens.draw import CLASSES, draw


@pytest.fixture(scope="module")
def drawn():
    """Built-in pictures (40, 3, 64, 64), two of each class."""
    images = [draw(name, seed=seed, size=64) for name in CLASSES for seed in (3, 4)]
    return torch.stack([to_tensor(image, size="keep") for image in images])


@pytest.mark.parametrize("size", [(32, 48), (33, 47)], ids=["even", "odd"])
@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5])
def test_a_picture_comes_back_from_its_waves(size, decay):
    canvas = Fourier(*size, decay)
    picture = torch.rand((3, *size), generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
    found = canvas.picture(canvas.parameters(picture))
    assert found.shape == picture.shape
    assert (found - picture).abs().max() < 1e-5


def test_black_and_white_come_back_to_half_a_level():
    canvas = Fourier(32, 32)
    picture = (torch.arange(32) % 2).float().expand(3, 32, 32)
    off = (canvas.picture(canvas.parameters(picture)) - picture).abs().max()
    assert 1 / 1024 < off < 1 / 500


def test_a_start_is_nearly_grey_and_its_waves_are_as_steep_as_was_asked():
    for decay in (1.0, 2.0):
        canvas = Fourier(128, 128, decay)
        start = canvas.picture(canvas.start(1))
        assert 0.001 < (start - 0.5).std() < 0.05
        strengths = torch.fft.rfft2(start - 0.5).abs().mean(dim=0)
        slow, fast = strengths[4, 1:9].mean(), strengths[40, 10:90].mean()
        expected = natural_scale(128, 128, decay)
        ratio = expected[4, 1:9].mean() / expected[40, 10:90].mean()
        assert slow / fast == pytest.approx(ratio.item(), rel=0.35)


def test_decorrelation_is_undone_by_its_inverse(drawn):
    for colours in (Colours.usual(), Colours.of(drawn)):
        back = colours.to_rgb(colours.from_rgb(drawn[0]))
        assert (back - drawn[0]).abs().max() < 1e-5


def test_measured_colours_are_uncorrelated_and_of_one_size(drawn):
    pixels = torch.stack([Colours.of(drawn).from_rgb(one.double()) for one in drawn]).flatten(2)
    pixels = pixels - pixels.mean(dim=2, keepdim=True)
    covariance = torch.einsum("bin,bjn->ij", pixels, pixels)
    assert torch.allclose(covariance / covariance[0, 0], torch.eye(3).double(), atol=1e-9)


def test_the_usual_axes_and_deviations_are_the_built_in_pictures(drawn):
    measured = Colours.of(drawn).matrix
    for axis, deviation, usual in zip(
        measured.T, DEVIATIONS, Colours.usual().matrix.T, strict=True
    ):
        assert axis.norm().item() == pytest.approx(deviation, rel=0.15)
        assert abs(torch.cosine_similarity(axis, usual, dim=0)) > 0.95


def test_macos_waves_fall_as_the_built_in_pictures_brightness_does(drawn):
    waves = frequencies(64, 64)
    seen = (waves > 0.03) & (waves < 0.45)
    lines = torch.stack([waves[seen].log(), torch.ones(int(seen.sum()))], dim=1).double()
    strengths = magnitude_of(drawn)[0][seen].log()[:, None]
    slope = torch.linalg.lstsq(lines, strengths).solution[0].item()
    assert slope == pytest.approx(-DECAY, abs=0.2)


def test_waves_and_phases_have_the_gradient_of_finite_differences():
    fourier = Fourier(6, 7, 1.0)
    waves = fourier.start(0).double().requires_grad_()
    assert gradcheck(fourier.picture, waves)
    phases = Phases(6, 7, natural_scale(6, 7, 1.0))
    assert gradcheck(phases.picture, phases.start(0).double().requires_grad_())


@pytest.mark.parametrize("size", [(32, 48), (33, 47)], ids=["even", "odd"])
def test_phases_keep_every_waves_strength(size):
    canvas = Phases(*size, natural_scale(*size, 1.0), contrast=0.8)
    picture = canvas.picture(canvas.start(5).double())
    values = canvas.colours.from_rgb(picture.logit())
    assert values[0].std() == pytest.approx(0.8, rel=0.05)
    found = torch.fft.rfft2(values)[:, 1:, 1 : (size[1] - 1) // 2].abs()
    wanted = natural_scale(*size, 1.0)[1:, 1 : (size[1] - 1) // 2]
    ratio = found / wanted
    assert torch.allclose(ratio, ratio[0, 0, 0].expand_as(ratio), rtol=1e-6)


def test_phases_of_a_picture_give_it_back_where_its_strengths_are_kept(drawn):
    picture = drawn[0].clamp(0.05, 0.95)
    canvas = Phases(64, 64, magnitude_of(picture[None]))
    found = canvas.picture(canvas.parameters(picture))
    both = torch.stack([found.logit(), picture.logit()]).flatten(2)  # all but mean and contrast
    both = (both - both.mean(dim=2, keepdim=True)).flatten(1)
    assert torch.corrcoef(both)[0, 1] > 0.999


def test_a_constant_is_copied_once_for_each_type():
    constant = Constant(torch.arange(3, dtype=torch.float64))
    single, double = torch.zeros(1), torch.zeros(1, dtype=torch.float64)
    assert constant.beside(single) is constant.beside(torch.ones(2))
    assert torch.equal(constant.beside(single), torch.tensor([0.0, 1.0, 2.0]))
    assert constant.beside(double).dtype == torch.float64


def test_a_canvas_that_was_first_looked_at_in_inference_mode_has_gradients():
    canvas = Fourier(32, 48)
    with torch.inference_mode():
        canvas.picture(canvas.start(0))
    waves = canvas.start(0).requires_grad_()
    canvas.picture(waves).sum().backward()
    assert waves.grad is not None


class Called(TorchDispatchMode):
    """Notes which of torch's operations are run."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "canvas", [Fourier(32, 48), Phases(32, 48, natural_scale(32, 48, 1.0))], ids=["waves", "phases"]
)
def test_only_a_canvas_first_picture_copies_anything_to_the_device(canvas):
    """A GPU would be waited for in each picture of each step."""
    parameters = canvas.start(0)
    with Called() as first:
        picture = canvas.picture(parameters)
    with Called() as second:
        again = canvas.picture(parameters)
    assert "_to_copy" in first.names
    assert not second.names & {"_to_copy", "copy_", "lift_fresh", "arange", "linspace"}
    assert torch.equal(picture, again)
