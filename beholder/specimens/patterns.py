"""The figures that `draw` colours, each as an implicit field over the picture plane.

A field is negative inside the figure. `TEXTURES` fill the picture; `SHAPES` are single figures of
about unit radius that `draw` places. Coordinates: the picture spans [-1, 1] in x and y.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Field: TypeAlias = NDArray[np.floating[Any]]
Figure: TypeAlias = Callable[[np.random.Generator, Field, Field], Field]

TAU = 2 * np.pi


def as_field(values: ArrayLike) -> Field:
    return np.asarray(values, dtype=np.float32)


def _fold(t: Field) -> Field:
    """Distance from `t` to the nearest integer, in 0..0.5."""
    return np.abs(t - np.rint(t))


def _triangle_wave(t: Field) -> Field:
    """Period 1, linear between -1 and 1, zero at the quarters."""
    return 4 * _fold(t) - 1


def _bands(t: Field, duty: float) -> Field:
    """Bands of period 1 along `t`; `duty` is the share of the plane inside."""
    return _fold(t) - duty / 2


# --- textures -------------------------------------------------------------------------------


def stripes(rng: np.random.Generator, x: Field, y: Field) -> Field:
    return _bands(x / rng.uniform(0.26, 0.6), rng.uniform(0.35, 0.65))


def waves(rng: np.random.Generator, x: Field, y: Field) -> Field:
    length = rng.uniform(0.55, 1.0)
    bend = rng.uniform(0.12, 0.2) * length * np.sin(TAU * y / length)
    return _bands((x + bend) / rng.uniform(0.28, 0.5), rng.uniform(0.4, 0.6))


def zigzags(rng: np.random.Generator, x: Field, y: Field) -> Field:
    length = rng.uniform(0.4, 0.75)
    bend = rng.uniform(0.18, 0.28) * length * _triangle_wave(y / length)
    return _bands((x + bend) / rng.uniform(0.28, 0.5), rng.uniform(0.4, 0.6))


def checks(rng: np.random.Generator, x: Field, y: Field) -> Field:
    period = rng.uniform(0.4, 0.9)
    return _triangle_wave(x / period) * _triangle_wave(y / period)


def grid(rng: np.random.Generator, x: Field, y: Field) -> Field:
    period = rng.uniform(0.28, 0.6)
    return np.minimum(_fold(x / period), _fold(y / period)) - rng.uniform(0.07, 0.13)


def bricks(rng: np.random.Generator, x: Field, y: Field) -> Field:
    height, joint = rng.uniform(0.24, 0.42), rng.uniform(0.06, 0.1)
    length = rng.uniform(1.9, 2.4)
    row = np.floor(y / height)
    along = (x / height + row * length / 2) / length
    return as_field(np.minimum(_fold(y / height), _fold(along) * length) - joint)


def honeycomb(rng: np.random.Generator, x: Field, y: Field) -> Field:
    period, wall = rng.uniform(0.32, 0.6), rng.uniform(0.05, 0.09)
    axes = [(1.0, 0.0), (0.5, 0.75**0.5)]
    u, v = x / period, y / period
    # Nearest centre of the two rectangular lattices that make up the hexagonal one.
    tall = 3**0.5
    pairs = []
    for shift in (0.0, 0.5):
        du = u - shift - np.rint(u - shift)
        dv = v - shift * tall - np.rint((v - shift * tall) / tall) * tall
        pairs.append((np.abs(du), np.abs(dv)))
    depth = [0.5 - np.maximum(*(du * a + dv * b for a, b in axes)) for du, dv in pairs]
    return as_field(np.maximum(*depth) - wall)


def scales(rng: np.random.Generator, x: Field, y: Field) -> Field:
    radius, line = rng.uniform(0.17, 0.32), rng.uniform(0.1, 0.17)
    row = np.floor(y / radius)
    down = y / radius - row
    across = 2 * _fold(x / radius / 2 + row / 2)
    return as_field(np.abs(np.hypot(across, down) - 1) - line)


def dots(rng: np.random.Generator, x: Field, y: Field) -> Field:
    period, staggered = rng.uniform(0.3, 0.6), rng.random() < 0.5
    row = np.rint(y / period)
    u = x / period + (row / 2 if staggered else 0)
    return np.hypot(_fold(u), _fold(y / period)) - rng.uniform(0.22, 0.36)


def rings(rng: np.random.Generator, x: Field, y: Field) -> Field:
    radius = np.hypot(x, y)
    return _bands(radius / rng.uniform(0.24, 0.45) + rng.random(), rng.uniform(0.4, 0.6))


def spiral(rng: np.random.Generator, x: Field, y: Field) -> Field:
    arms = rng.integers(2, 5) * rng.choice([-1, 1])
    turn = np.arctan2(y, x) / TAU
    bands = np.hypot(x, y) / rng.uniform(0.28, 0.5) + arms * turn + rng.random()
    return _bands(bands.astype(np.float32), rng.uniform(0.4, 0.6))


def rays(rng: np.random.Generator, x: Field, y: Field) -> Field:
    turn = np.arctan2(y, x) / TAU
    return _bands(turn * rng.integers(6, 15) + rng.random(), rng.uniform(0.4, 0.6))


def blobs(rng: np.random.Generator, x: Field, y: Field) -> Field:
    return smooth_noise(rng, x, y, cycles=rng.uniform(0.8, 1.5)) + rng.uniform(-0.2, 0.3)


def smooth_noise(
    rng: np.random.Generator, x: Field, y: Field, *, cycles: float, waves: int = 10
) -> Field:
    """A sum of cosines in random directions, about N(0, 1); `cycles` a unit of length."""
    angle, phase = rng.uniform(0, TAU, (2, waves))
    pace = TAU * cycles * rng.uniform(0.6, 1.3, waves)
    total = np.zeros_like(x)
    for a, p, k in zip(angle, phase, pace, strict=True):
        total += np.cos(x * np.float32(k * np.cos(a)) + y * np.float32(k * np.sin(a)) + p)
    return total * np.float32((2 / waves) ** 0.5)


# --- shapes, of about unit radius around (0, 0) ---------------------------------------------


def _pointed(x: Field, y: Field, points: int, waist: float) -> Field:
    """A star polygon: `points` tips at radius 1, notches at radius `waist`."""
    half = np.pi / points
    radius, turn = np.hypot(x, y), np.arctan2(x, -y)
    turn = 2 * half * _fold(turn / (2 * half))
    # The edge runs from the tip (1, 0) to the notch; its outward normal gives the distance.
    tx, ty = waist * np.cos(half) - 1, waist * np.sin(half)
    length = np.hypot(tx, ty)
    return as_field(((radius * np.cos(turn) - 1) * ty - radius * np.sin(turn) * tx) / length)


def star(rng: np.random.Generator, x: Field, y: Field) -> Field:
    return _pointed(x, y, 5, rng.uniform(0.36, 0.5))


def burst(rng: np.random.Generator, x: Field, y: Field) -> Field:
    return _pointed(x, y, int(rng.integers(10, 17)), rng.uniform(0.66, 0.8))


def triangle(rng: np.random.Generator, x: Field, y: Field) -> Field:
    return _pointed(x / rng.uniform(0.85, 1.15), y, 3, 0.5)


def cross(rng: np.random.Generator, x: Field, y: Field) -> Field:
    arm = rng.uniform(0.2, 0.34)
    u, v = np.abs(x), np.abs(y)
    return as_field(np.minimum(np.maximum(u - 0.95, v - arm), np.maximum(v - 0.95, u - arm)))


def heart(rng: np.random.Generator, x: Field, y: Field) -> Field:
    u = np.abs(x) / (1.6 * rng.uniform(0.9, 1.1))
    v = 0.55 - y / 1.6
    lobe = np.hypot(u - 0.25, v - 0.75) - 0.125**0.5
    along = np.maximum(u + v, 0) / 2
    point = np.minimum(np.hypot(u, v - 1), np.hypot(u - along, v - along)) * np.sign(u - v)
    return as_field(np.where(u + v > 1, lobe, point))


def crescent(rng: np.random.Generator, x: Field, y: Field) -> Field:
    bite, shift = rng.uniform(0.7, 0.85), rng.uniform(0.38, 0.5)
    return as_field(np.maximum(np.hypot(x, y) - 1, bite - np.hypot(x - shift, y)))


def flower(rng: np.random.Generator, x: Field, y: Field) -> Field:
    petals, depth = rng.integers(5, 9), rng.uniform(0.22, 0.34)
    radius = np.hypot(x, y)
    rim = 1 - depth + depth * np.cos(petals * np.arctan2(y, x))
    return as_field(np.maximum(radius - rim, rng.uniform(0.16, 0.26) - radius))


TEXTURES: dict[str, Figure] = {
    "stripes": stripes,
    "waves": waves,
    "zigzags": zigzags,
    "checks": checks,
    "grid": grid,
    "bricks": bricks,
    "honeycomb": honeycomb,
    "scales": scales,
    "dots": dots,
    "rings": rings,
    "spiral": spiral,
    "rays": rays,
    "blobs": blobs,
}
SHAPES: dict[str, Figure] = {
    "star": star,
    "burst": burst,
    "triangle": triangle,
    "cross": cross,
    "heart": heart,
    "crescent": crescent,
    "flower": flower,
}
# Textures with a centre keep it in the picture; the others may slide by a whole period.
CENTRED = frozenset({"rings", "spiral", "rays"})
