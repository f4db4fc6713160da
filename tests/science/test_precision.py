"""The gate: similarity as its authors define it, and dreams compared before a precision is used."""

import dataclasses

import numpy as np
import pytest
import torch

from beholder.science.precision import (
    Agreement,
    agreement,
    fastest_admitted,
    similarity,
)


def plain_similarity(one, other):
    """SSIM of two pictures (3, H, W), window by window, as in the paper's formula 13."""
    offsets = np.arange(11) - 5
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    weights = np.outer(line, line) / np.outer(line, line).sum()
    found = []
    for a, b in zip(one.double().numpy(), other.double().numpy(), strict=True):
        for row in range(a.shape[0] - 10):
            for column in range(a.shape[1] - 10):
                x, y = (p[row : row + 11, column : column + 11] for p in (a, b))
                mx, my = (weights * x).sum(), (weights * y).sum()
                vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
                cov = (weights * (x - mx) * (y - my)).sum()
                luminance = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
                found.append(luminance * (2 * cov + 9e-4) / (vx + vy + 9e-4))
    return np.mean(found)


def test_similarity_is_the_papers(starts):
    pictures = starts(2, 32).clamp(0, 1)[:, :, :20, :26]
    changed = (pictures + 0.05 * torch.randn_like(pictures)).clamp(0, 1)
    found = similarity(pictures, changed)
    assert found.shape == (2,)
    for row in range(2):
        assert found[row].item() == pytest.approx(
            plain_similarity(pictures[row], changed[row]), abs=1e-4
        )
    assert similarity(pictures, pictures).tolist() == pytest.approx([1, 1], abs=1e-6)
    assert (similarity(pictures, 1 - pictures) < 0.5).all()


def test_float64_agrees_and_bf16_shows_where_dreams_run_long(narrow):
    near = agreement(narrow, "float64", layer=11, size=48)
    assert near.admitted
    far = agreement(narrow, "bf16", layer=35, size=48, steps=60, learning_rate=0.5)
    assert not far.admitted
    assert far.similarity < near.similarity


def test_a_gate_needs_both_and_refuses_nan():
    fine = Agreement("bf16", objective_error=0.005, similarity=0.99)
    assert fine.admitted
    assert not dataclasses.replace(fine, objective_error=0.02).admitted
    assert not dataclasses.replace(fine, similarity=0.97).admitted
    assert not dataclasses.replace(fine, objective_error=float("nan")).admitted


def test_overflow_is_no_agreement(narrow):
    found = agreement(narrow, "bf16", layer=11, size=48, steps=2, learning_rate=float("inf"))
    assert not found.admitted


def test_a_cpu_takes_float32(narrow):
    assert fastest_admitted(narrow, layer=35, size=48) == "float32"


@pytest.mark.slow
def test_the_longer_a_dream_the_further_rounding_carries_it(specimens):
    short = agreement(specimens, "bf16", layer=28, size=64, steps=30)
    long = agreement(specimens, "bf16", layer=28, size=64, steps=210)
    assert short.admitted
    assert not long.admitted


@pytest.mark.slow
def test_on_specimens_bf16_passes_low_and_fails_high(specimens):
    assert agreement(specimens, "bf16", layer=12, size=112).admitted
    assert not agreement(specimens, "bf16", layer=35, size=112, learning_rate=0.02).admitted
