"""The README's commands exist, with the options they are written with."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from cli.main import app

README = Path(__file__).parents[1] / "README.md"


def commands() -> list[str]:
    """Every `beholder ...` of a code block or a table."""
    text = README.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`(beholder [^`]+)`", text)
    return sorted({line for line in [*lines, *inline] if line.startswith("beholder ")})


def test_there_are_some() -> None:
    assert len(commands()) > 10


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_readme_parses(line: str) -> None:
    group = typer.main.get_command(app)
    context = group.make_context("beholder", shlex.split(line)[1:])
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[attr-defined]
    assert command.make_context(name, rest, parent=context).command is command


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target
