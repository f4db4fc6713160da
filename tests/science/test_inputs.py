"""Inputs: torchvision's own pipeline, seeded noise, and the way back to an image."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from beholder.errors import PictureError
from beholder.pictures import decode
from beholder.science.inputs import _published, input_step, noise, to_image, to_tensor


def image(width, height, mode="RGB"):
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def pipeline(size):
    return ImageClassification(
        crop_size=size,
        resize_size=round(size * 256 / 224),
        interpolation=InterpolationMode.BICUBIC,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )


@pytest.mark.parametrize("shape", [(300, 200), (97, 411), (256, 256), (20, 31), (1000, 700)])
@pytest.mark.parametrize("size", [32, 100, 224])
def test_equals_torchvisions_pipeline(shape, size):
    found = to_tensor(image(*shape), size=size)
    assert found.shape == (3, size, size)
    assert found.dtype == torch.float32
    assert torch.equal(found, pipeline(size)(image(*shape)))


def test_a_photograph_as_published(photographs):
    from pathlib import Path

    path = Path(__file__).parents[3] / "shared" / "pictures" / "sky.jpg"
    if not path.is_file():
        pytest.skip("the article's photographs are not beside this checkout")
    found = decode(path.read_bytes())
    assert torch.equal(to_tensor(found), pipeline(224)(found))


def test_keep_keeps_every_pixel():
    start = image(70, 41)
    kept = to_tensor(start, size="keep")
    assert kept.shape == (3, 41, 70)
    assert to_image(kept).tobytes() == start.tobytes()


@pytest.mark.parametrize("shape", [(31, 500), (500, 31)])
def test_keep_needs_32_pixels(shape):
    with pytest.raises(PictureError, match="each side needs 32"):
        to_tensor(image(*shape), size="keep")


def test_a_strip_would_grow_past_all_memory():
    with pytest.raises(PictureError, match="too long a strip"):
        to_tensor(Image.new("RGB", (1, 1_000_000)))


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK"])
def test_only_rgb(mode):
    with pytest.raises(PictureError, match=f"{mode} pixels"):
        to_tensor(image(64, 64, mode))


def test_noise_is_its_seeds():
    start = noise(3, size=128)
    assert start.shape == (3, 128, 128)
    assert torch.equal(start, noise(3, size=128))
    assert not torch.equal(start, noise(4, size=128))
    assert start.std().item() == pytest.approx(0.2, rel=0.02)
    assert start.mean().item() == pytest.approx(0.0, abs=0.005)
    assert start.min() < 0, "not clipped"


def test_noise_leaves_the_global_generator():
    before = torch.get_rng_state()
    noise(3, size=32)
    assert torch.equal(torch.get_rng_state(), before)


def test_to_image_clips_and_rounds():
    picture = torch.tensor([-1.0, 0.5, 2.0]).view(3, 1, 1).expand(3, 2, 5)
    found = to_image(picture.requires_grad_())
    assert found.mode == "RGB"
    assert found.size == (5, 2)
    assert found.getpixel((4, 1)) == (0, 128, 255)


def test_a_tall_picture_becomes_the_same_image():
    picture = noise(0, size=600) + 0.5
    expected = (picture.clamp(0, 1) * 255).round().to(torch.uint8)
    found = np.asarray(to_image(picture))
    assert np.array_equal(found, expected.permute(1, 2, 0).numpy())


def test_large_sizes_take_landscapes_but_no_strips(monkeypatch):
    monkeypatch.setattr("beholder.seen._LARGE_PIXELS", 0)
    assert to_tensor(Image.new("RGB", (300, 100)), size=64).shape == (3, 64, 64)
    with pytest.raises(PictureError, match="too long a strip"):
        to_tensor(Image.new("RGB", (100, 302)), size=64)


def test_normalize_as_torchvision_does():
    from torchvision.transforms.functional import normalize

    pictures = torch.rand(2, 3, 8, 8)
    found = input_step(True, torch.device("cpu"))(pictures)
    expected = normalize(pictures, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert torch.allclose(found, expected)
    assert input_step(False, torch.device("cpu"))(pictures) is pictures


def test_what_is_kept_for_a_device_has_gradients_whoever_asked_first():
    pictures = torch.rand(1, 3, 4, 4)
    _published.cache_clear()
    with torch.inference_mode():
        input_step(True, torch.device("cpu"))(pictures)
    pictures.requires_grad_()
    input_step(True, torch.device("cpu"))(pictures).sum().backward()
    slopes = 1 / torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    assert torch.allclose(pictures.grad, slopes.expand(1, 3, 4, 4))
