"""Numbers as people read them."""

from typing import Any

import pytest

from beholder.evidence.document import Interval
from beholder.evidence.names import Method, Mode
from beholder.report import words
from beholder.report.palette import METHOD_LOOKS


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0, "0%"),
        (1, "100%"),
        (0.0004, "< 0.1%"),
        (0.9996, "> 99.9%"),
        (0.999, "99.9%"),
        (0.01875, "1.9%"),
        (-0.0125, "−1.2%"),
        (None, "–"),
    ],
)
def test_shares_never_round_to_none_or_all(share: float | None, said: str) -> None:
    assert words.percent(share) == said


@pytest.mark.parametrize(
    ("drop", "signed", "bare"),
    [
        (0.972, "+97.2", "97.2"),
        (-0.004, "−0.4", "−0.4"),
        (-0.0001, "+0.0", "0.0"),
        (None,) + ("–",) * 2,
    ],
)
def test_points_have_a_true_minus_and_no_minus_zero(
    drop: float | None, signed: str, bare: str
) -> None:
    assert words.points(drop) == signed
    assert words.lost(drop) == bare


def test_intervals_and_p_values() -> None:
    interval = Interval(value=-0.5, low=-1.25, high=0.25, method="paired bootstrap")
    assert words.number_interval(interval) == "−0.50 (−1.25 to 0.25)"
    assert words.points_interval(interval) == "−50.0 (−125.0 to 25.0)"
    assert words.share_interval(None) == "–"
    assert words.p_value(0.0004) == "< 0.001"
    assert words.p_sentence(0.005) == "p = 0.005"
    assert words.p_sentence(0.0004) == "p < 0.001"


@pytest.mark.parametrize(
    ("text", "said"), [("five are few", "Five are few."), ("Why? ", "Why?"), ("", "")]
)
def test_sentences_end(text: str, said: str) -> None:
    assert words.sentence(text) == said


def test_names_can_be_drawn() -> None:
    assert words.short("a\x07b\nc", 10) == "a?b?c"
    assert words.short("American black bear", 9) == "American…"


def test_every_method_and_mode_has_words_and_a_look() -> None:
    weighed = {"choosing": {"contrast_weight": 3.5}}
    for method in Method.__args__:
        assert words.formula(method, {}) == words.METHODS[method][1]
        said = words.formula(method, weighed).endswith(", λ = 3.5")
        assert said == (method in ("contrastive", "iterative"))
    assert set(words.METHODS) == set(Method.__args__) == set(METHOD_LOOKS)
    assert set(words.MODES) == set(Mode.__args__)
    assert len({(look.colour, look.marker) for look in METHOD_LOOKS.values()}) == len(METHOD_LOOKS)


@pytest.mark.parametrize(
    ("dose", "said"),
    [
        ({"by": "name"}, "So many were asked for."),
        ({"by": "default", "largest_up_to": 20}, "the largest up to 20, else the smallest"),
        (
            {
                "by": "tuning", "tuned_on": {"targets": 8, "others": 1}, "most_recall": 0.02,
                "most_p_target": 0.1,
            },
            "picked on 8 targets and 1 other picture kept for tuning: of the doses that leave at "
            "most 2% of those targets seen, and at most 10% of probability",
        ),
    ],
)  # fmt: skip
def test_who_picked_the_dose_is_said(dose: dict[str, Any], said: str) -> None:
    assert said in words.dose_words({"dose": dose})
    assert words.dose_words({}) == ""
