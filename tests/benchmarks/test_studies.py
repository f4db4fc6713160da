"""The table of studies is made of real studies, and says what they found."""

import pytest

from benchmarks.studies import ARTICLE, HEADLINE, RANDOM, Given, Line, by_class, lines_of, summary


@pytest.mark.slow
def test_a_class_s_lines_are_those_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = ("spiral", "rings", "star")
    monkeypatch.setattr("benchmarks.studies.CLASSES", classes)
    lines = lines_of("spiral", Given(per_class=20, side=64, draws=19))
    names = [line.name for line in lines]
    assert names[0] == HEADLINE
    assert names.count(RANDOM) == 19
    assert names[-1] == ARTICLE
    by_name = {line.name: line for line in lines}
    assert by_name[HEADLINE].recall < by_name[HEADLINE].intact
    assert by_name["iterative, only these kept"].others > 0.5
    assert names.count("iterative, only these kept") == 1  # at the headline's dose
    assert summary(lines).count("\n") == len(set(names))  # all but the sets beside others


def test_the_worst_class_is_the_one_that_is_still_seen_and_of_random_sets_the_harmed() -> None:
    lines = [
        Line(way, target, 8, 1.0, recall, None if target == "dots" else 0.1, 0.0, others, like)
        for way, like in ((HEADLINE, ""), (RANDOM, HEADLINE))
        for target, recall, others in (("dots", 0.5, 0.0), ("star", 0.25, 0.0125))
    ]
    rows = summary(lines).splitlines()
    assert rows[2] == (
        "| iterative, zero | 8.0 | 37.5% | 50.0% dots | 37.5% (37.5% to 37.5%) | +10.00 | 0.00 "
        "| +0.62 | +1.25 star |"
    )
    assert "| 25.0% star |" in rows[3]
    table = by_class(lines, HEADLINE).splitlines()
    assert table[2].startswith("| dots | 8 | 100.0% | 50.0% |  | 0.00 | 50.0% (50.0% to 50.0%) |")
