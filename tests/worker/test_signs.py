"""When silence is a hang: not before the limit, nor before several times the longest step."""

from worker.signs import PATIENCE, Signs


def silences(signs: Signs, seconds: int) -> list[bool]:
    return [signs.too_long_since(1.0) for _ in range(seconds)]


def test_only_silence_counts_and_only_while_somebody_looks() -> None:
    signs = Signs(10)
    signs.give()
    assert silences(signs, 11) == [False] * 10 + [True]  # the first look counts the sign
    signs.give()
    assert silences(signs, 1) == [False]


def test_who_has_waited_long_for_a_step_waits_several_times_as_long_for_the_next() -> None:
    signs = Signs(10)
    silences(signs, 8)
    signs.give()
    quiet = silences(signs, 1 + int(PATIENCE * 8))
    assert quiet.index(True) == PATIENCE * 8


def test_a_download_is_waited_for() -> None:
    loading = True
    signs = Signs(10, excused=lambda: loading)
    assert not any(silences(signs, 100))
    loading = False
    assert silences(signs, 10)[-1]
