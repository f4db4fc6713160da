"""Text from outside, as databases and terminals take it."""

import pytest

from beholder.errors import InvalidSpec
from beholder.texts import cut_name, folded, job_name, marked, plain


def test_a_name_keeps_nothing_that_a_terminal_obeys_or_no_encoding_has() -> None:
    assert folded("  a\0 \t b\x1b[31m\n\u202ec ") == "a b[31m c"
    assert folded("caf\udce9") == "caf\ufffd"
    assert plain("\x1b") == ""
    assert marked("a\x1b[31m\x9b\udcff\ttab\nline, [b]ä\u00a0東") == (
        "a\ufffd[31m\ufffd\ufffd\ttab\nline, [b]ä\u00a0東"
    )
    for wild in ("\udcff \x1b", "a  \0  b", "\u2028x"):
        assert folded(folded(wild)) == folded(wild)


def test_a_name_that_somebody_wrote_is_never_cut() -> None:
    assert job_name("a " * 100) == ("a " * 100).strip()
    with pytest.raises(InvalidSpec, match="name: 200 letters at most; got 201"):
        job_name("a" * 201)
    assert cut_name("a" * 201) == "a" * 199 + "…"
    assert cut_name("a" * 200) == "a" * 200
