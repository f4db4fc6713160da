"""The service's benchmark runs from end to end, on as little as can be."""

import pytest

from benchmarks.harness import Options, Timing
from benchmarks.service import GOALS, marginal, rows, sizes_of

pytestmark = pytest.mark.slow  # starts Redis and two workers


def test_sizes_are_options_and_the_rest_is_left() -> None:
    words = ["--pictures", "9", "--json", "f", "--network", "random:1"]
    assert sizes_of(words) == ({"pictures": 9, "network": "random:1"}, ["--json", "f"])


def test_a_picture_more_and_what_costs_the_same_are_told_apart() -> None:
    few, many = Timing((3.0, 5.0)), Timing((5.0, 9.0))
    more, once = marginal(few, many, 10, 30)
    assert more == pytest.approx([0.1, 0.2])
    assert once == pytest.approx([2.0, 3.0])


def test_every_goal_has_its_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.service.DRAWN", 6)
    monkeypatch.setattr("benchmarks.service.DRAWN_SIZE", 64)
    little = {
        "size": 32,
        "layer": 5,
        "steps": 2,
        "few_steps": 1,
        "pictures": 5,
        "short": 3,
        "small": 3,
        "study": 6,
        "drawn": 6,
    }
    found = list(rows(Options("cpu", seconds=1), rounds=1, **little))
    assert all(row.value is not None for row in found)
    # A study's are differences of two sizes: of so little work they may have either sign.
    assert all(row.value > 0 for row in found if "study" not in row.name)
    assert sum(row.name.endswith(", once") for row in found) == 2
    held = {row.name.removeprefix("service, "): row.goal for row in found if row.goal is not None}
    assert held == {name: goal for name, (_, goal) in GOALS["cpu"].items()}
