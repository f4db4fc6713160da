"""Draws labelled pictures of patterns and shapes with numpy and pillow alone.

`CLASSES` names them, `draw` makes one picture, `write_samples` fills a folder of each class. The
figures are in `patterns`. The same label and seed show the same content at every size.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from beholder.specimens.patterns import (
    CENTRED,
    SHAPES,
    TAU,
    TEXTURES,
    Field,
    as_field,
    smooth_noise,
)

CLASSES: tuple[str, ...] = (*TEXTURES, *SHAPES)
SAMPLE_SEED = 5_000_000  # clear of the seeds that training and its held-out pictures use
MIN_CONTRAST = 0.3  # in OKLab, between figure and ground

Colour = NDArray[np.float32]  # (3,), linear light is not needed: sRGB in [0, 1]


class Plane(NamedTuple):
    """Pixel centres of a square picture; x and y span [-1, 1]."""

    x: Field  # (size, size)
    y: Field  # (size, size)


class Layer(NamedTuple):
    """One figure, ready to be coloured."""

    cover: Field  # (size, size), 0..1
    shadow: Field | None  # (size, size), 0..1


def draw(label: str, *, seed: int, size: int = 224) -> Image.Image:
    """Draw one `size` x `size` RGB picture of `label`; the same arguments give the same bytes.

    Raises ValueError for an unknown label or a size under 16 pixels.
    """
    if label not in CLASSES:
        raise ValueError(f"No class {label!r}. The classes are: {', '.join(CLASSES)}.")
    if size < 16:
        raise ValueError(f"Pictures are at least 16 pixels wide; got {size}.")
    rng = np.random.default_rng([zlib.crc32(label.encode()), seed])
    plane = _plane(size)
    layers = _texture(rng, label, plane) if label in TEXTURES else _shapes(rng, label, plane)
    picture = _paint(rng, plane, layers)  # (size, size, 3)
    picture = picture * _light(rng, plane)[..., None] + _grain(rng, size)
    return Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))


def write_samples(
    folder: Path,
    *,
    per_class: int,
    labels: Sequence[str] = CLASSES,
    size: int = 256,
    seed: int = SAMPLE_SEED,
) -> list[Path]:
    """Write `folder/<label>/<label>-01.png` and so on; return the paths in writing order.

    Picture number n of a class is drawn with `seed + n`, counting from 1.
    """
    paths = []
    for label in labels:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(1, per_class + 1):
            path = folder / label / f"{label}-{number:02d}.png"
            draw(label, seed=seed + number, size=size).save(path)
            paths.append(path)
    return paths


def _plane(size: int) -> Plane:
    line = ((np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1).astype(np.float32)
    y, x = np.meshgrid(line, line, indexing="ij")
    return Plane(x, y)


def _turned(x: Field, y: Field, angle: float) -> Plane:
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return Plane(c * x + s * y, c * y - s * x)


# --- figures --------------------------------------------------------------------------------


def _texture(rng: np.random.Generator, label: str, plane: Plane) -> list[Layer]:
    """The whole picture, seen slightly from the side."""
    tilt_x, tilt_y = rng.uniform(-0.16, 0.16, 2).astype(np.float32)
    depth = 1 + tilt_x * plane.x + tilt_y * plane.y
    reach = 0.35 if label in CENTRED else 1.0
    shift_x, shift_y = rng.uniform(-reach, reach, 2).astype(np.float32)
    stretch = np.float32(rng.uniform(0.9, 1.1))
    x, y = plane.x / depth - shift_x, (plane.y / depth - shift_y) * stretch
    turned = _turned(x, y, rng.uniform(0, TAU))
    cover = _coverage(_distance(TEXTURES[label](rng, *turned)))
    return [Layer(cover if rng.random() < 0.5 else 1 - cover, None)]


def _shapes(rng: np.random.Generator, label: str, plane: Plane) -> list[Layer]:
    """One large figure, or a few smaller ones that do not overlap; each may cast a shadow."""
    drop, soft = rng.uniform(0.02, 0.06), rng.uniform(0.02, 0.08)
    lean, dark = rng.uniform(0, TAU), rng.random() < 0.6
    layers = []
    for cx, cy, radius in _places(rng):
        scale = np.float32(1 / radius)
        x, y = (plane.x - np.float32(cx)) * scale, (plane.y - np.float32(cy)) * scale
        turned = _turned(x, y, rng.uniform(0, TAU))
        distance = _distance(SHAPES[label](rng, *turned))
        shadow = _shadow(distance, drop, lean, soft) if dark else None
        layers.append(Layer(_coverage(distance), shadow))
    return layers


def _places(rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Centres and radii of the figures: (x, y, radius)."""
    if rng.random() < 0.5:
        radius = rng.uniform(0.42, 0.72)
        room = max(0.85 - radius, 0.05)
        return [(rng.uniform(-room, room), rng.uniform(-room, room), radius)]
    wanted, places = int(rng.integers(2, 6)), list[tuple[float, float, float]]()
    for _ in range(40):
        radius = rng.uniform(0.24, 0.4)
        x, y = rng.uniform(radius - 0.95, 0.95 - radius, 2)
        if all(np.hypot(x - a, y - b) > radius + r for a, b, r in places):
            places.append((x, y, radius))
        if len(places) == wanted:
            break
    return places


def _distance(field: Field) -> Field:
    """The field's distance to its zero line, in pixels: the field over its own slope."""
    field = field.astype(np.float32, copy=False)
    dy, dx = np.gradient(field)
    return as_field(field / np.maximum(np.hypot(dx, dy), 1e-6))


def _coverage(distance: Field) -> Field:
    """How much of each pixel is inside, which makes the edges smooth."""
    return as_field(np.clip(0.5 - distance, 0, 1))


def _shadow(distance: Field, drop: float, lean: float, soft: float) -> Field:
    """The figure blurred by `soft` and moved by `drop` (both in picture units) towards `lean`."""
    size = distance.shape[0]
    blurred = np.clip(0.5 - distance / (soft * size), 0, 1)
    down, right = (round(drop * size / 2 * float(f(lean))) for f in (np.sin, np.cos))
    return np.roll(blurred, (down, right), axis=(0, 1))


# --- colour and light -----------------------------------------------------------------------

_OKLAB_TO_LMS = np.array(
    [
        [1, 0.3963377774, 0.2158037573],
        [1, -0.1055613458, -0.0638541728],
        [1, -0.0894841775, -1.291485548],
    ],
)
_LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.707614701],
    ],
)


def _srgb(oklab: NDArray[np.float64]) -> Colour:
    """OKLab (3,) to sRGB, clipped to [0, 1] (Ottosson 2020)."""
    linear = np.clip(_LMS_TO_RGB @ (_OKLAB_TO_LMS @ oklab) ** 3, 0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return curved.astype(np.float32)


def _any_colour(rng: np.random.Generator) -> NDArray[np.float64]:
    hue, chroma = rng.uniform(0, TAU), rng.uniform(0, 0.2)
    return np.array([rng.uniform(0.2, 0.95), chroma * np.cos(hue), chroma * np.sin(hue)])


def _away_from(rng: np.random.Generator, ground: NDArray[np.float64]) -> NDArray[np.float64]:
    """A colour at least MIN_CONTRAST from `ground` in OKLab, most of it in lightness."""
    while True:
        colour = _any_colour(rng)
        apart = np.abs(colour - ground)
        if np.hypot(apart[0], np.hypot(apart[1], apart[2])) >= MIN_CONTRAST and apart[0] >= 0.15:
            return colour


def _nearby(rng: np.random.Generator, colour: NDArray[np.float64]) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = colour + rng.uniform(-1, 1, 3) * np.array([0.07, 0.05, 0.05])
    return moved


def _filled(rng: np.random.Generator, plane: Plane, colour: NDArray[np.float64]) -> Field:
    """A surface (size, size, 3) of about one colour: flat, a gradient, or mottled."""
    first, second = _srgb(colour), _srgb(_nearby(rng, colour))
    kind = rng.choice(3)
    if kind == 0:
        return np.broadcast_to(first, (*plane.x.shape, 3))
    if kind == 1:
        mix = _turned(*plane, rng.uniform(0, TAU)).x * np.float32(0.5) + np.float32(0.5)
    else:
        mix = 0.5 + 0.4 * smooth_noise(rng, *plane, cycles=rng.uniform(0.4, 2.0), waves=6)
    return as_field(first + np.clip(mix, 0, 1)[..., None] * (second - first))


def _paint(rng: np.random.Generator, plane: Plane, layers: list[Layer]) -> Field:
    """Lay the figures over a ground; (size, size, 3)."""
    ground = _any_colour(rng)
    picture = _filled(rng, plane, ground)
    shade, same = np.float32(rng.uniform(0.3, 0.6)), rng.random() < 0.5
    colour = _away_from(rng, ground)
    for layer in layers:
        if layer.shadow is not None:
            picture = picture * (1 - shade * layer.shadow[..., None])
        fill = _filled(rng, plane, colour)
        picture = picture + layer.cover[..., None] * (fill - picture)
        colour = colour if same else _away_from(rng, ground)
    return picture


def _light(rng: np.random.Generator, plane: Plane) -> Field:
    """Brightness over the picture (size, size): a slope, and darker corners."""
    slope = np.float32(rng.uniform(0, 0.25)) * _turned(*plane, rng.uniform(0, TAU)).x
    corners = np.float32(rng.uniform(0, 0.15)) * (plane.x**2 + plane.y**2)
    return np.float32(rng.uniform(0.9, 1.1)) + slope - corners


def _grain(rng: np.random.Generator, size: int) -> Field:
    """Camera noise (size, size, 3); half of the pictures have hardly any."""
    sigma = np.float32(rng.uniform(0, 0.012) if rng.random() < 0.5 else rng.uniform(0.012, 0.06))
    return rng.standard_normal((size, size, 3), dtype=np.float32) * sigma
