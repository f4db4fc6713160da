"""docs/cli.md and the commands say the same: each command, argument and option, both ways."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from beholder.catalogue import layer_rows, network_rows
from beholder.jobs.fleet import FleetView
from beholder.jobs.verdicts import Summary
from beholder.jobs.views import ChannelView, JobView, columns_of
from beholder.settings import Settings
from cli.checks import Check
from cli.main import app

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
_HEADING = re.compile(r"^## `(beholder [a-z ]+)`$", re.MULTILINE)


def commands() -> dict[str, Any]:
    """Every command by its full name."""
    return dict(_walk("beholder", typer.main.get_command(app)))


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        if command.invoke_without_command:
            yield name, command
        for word, inner in command.commands.items():
            yield from _walk(f"{name} {word}", inner)
    else:
        yield name, command


def sections() -> dict[str, str]:
    """The text under each command's heading."""
    text = DOCS.read_text(encoding="utf-8").split("\n# JSON\n")[0]
    parts = _HEADING.split(text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def documented(section: str) -> set[str]:
    """The options and arguments in the first column of the section's table."""
    cells = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`(--?[a-z][a-z-]*|[A-Z]+)\b", cell)}


def taken(command: Any) -> set[str]:
    """The options and arguments that the command has."""
    words: set[str] = set()
    for parameter in (each for each in command.params if not getattr(each, "hidden", False)):
        if parameter.param_type_name == "argument":
            words.add(str(parameter.name).upper())
        elif "--help" not in parameter.opts:
            words.update(parameter.opts, parameter.secondary_opts)
    return words


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    assert set(sections()) == set(commands())


@pytest.mark.parametrize("name", sorted(commands()))
def test_the_section_lists_exactly_the_command_s_options(name: str) -> None:
    assert documented(sections()[name]) == taken(commands()[name])


@pytest.mark.parametrize("name", sorted(commands()))
def test_the_section_shows_an_example(name: str) -> None:
    assert re.search(rf"^\$ {name}\b", sections()[name], re.MULTILINE)


def test_every_command_has_a_help_line() -> None:
    assert all(command.help for command in commands().values())


def test_every_column_of_the_json_rows_is_documented() -> None:
    text = DOCS.read_text(encoding="utf-8")
    columns = {*columns_of(JobView), *columns_of(ChannelView), *columns_of(Check)}
    columns |= {*columns_of(FleetView)}
    columns |= {*layer_rows()[0], *network_rows(Settings())[0], *Summary().row()}
    assert {column for column in columns if f"`{column}`" not in text} == set()
