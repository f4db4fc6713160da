"""What a terminal is shown: names as they are, whatever is in them."""

from collections.abc import Callable
from typing import Any

import pytest

from cli.output import console, say, table

Beholder = Callable[..., Any]
NOISE = ("submit", "--noise", "1", "--network", "specimens")
WILD = (r"a\[/x]", r"\[link=https://evil.example]b", "[bold]c[/]", r"\\[/]", "d\\")


def test_a_table_reads_no_markup_and_lets_no_escape_through(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in (*WILD, "e\x1b]0;owned\x07", "f\x9b31m"):
        console().print(table(["name"], [{"name": name}], title=name))
        console().print(name, markup=False)
        say(name)
        out, err = capsys.readouterr()
        shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
        assert (out.count(shown), err) == (3, f"{shown}\n"), out
        assert not set("\x1b\x07\x9b") & set(out)


@pytest.mark.parametrize("columns", ["", "wide", "0", "-3", "9" * 40])
def test_an_odd_width_in_the_environment_is_none(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    console().print("long " * 30)
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.slow  # a real server
@pytest.mark.both
def test_a_job_may_be_called_anything(beholder: Beholder, tmp_path: Any) -> None:
    for name in WILD:
        assert beholder(*NOISE, "--name", name).code == 0
    job = beholder(*NOISE, "--name", "caf\udce9  \x1b[31mred")
    assert job.code == 0, job.err
    listed = beholder("jobs")
    assert listed.code == 0
    assert all(name in listed.out for name in (*WILD, "caf\ufffd [31mred"))
    found = beholder("show", "caf\udce9   [31mred")
    assert (found.code, job.out.strip() in found.out) == (0, True)
    long = beholder(*NOISE, "--name", "a" * 201)
    assert (long.code, long.err) == (2, "beholder: --name: 200 letters at most; got 201.\n")
