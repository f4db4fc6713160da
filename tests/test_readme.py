"""The README's commands exist, with the options they are written with."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer

from beholder.extras import install
from cli.main import app

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


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


def test_what_is_installed_has_the_extras_that_the_readme_asks_for() -> None:
    text = README.read_text(encoding="utf-8")
    (installed,) = re.findall(r"^pip install -e '\.\[([\w,]+)\]'", text, re.MULTILINE)
    assert set(re.findall(r"extra `(\w+)`\) \|", text)) == {"report", "video"}
    assert set(installed.split(",")) >= {"api", "report", "video", "worker"}
    assert f"-e '.[{installed}]'" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_extra_that_is_named_exists_and_is_installed_from_the_folder() -> None:
    folders = ("api", "beholder", "benchmarks", "cli", "docs", "worker")
    paths = [README, *(path for name in folders for path in (ROOT / name).rglob("*.[mp][dy]"))]
    lines = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    assert not re.findall(r"pip install ['\"]?beholder\b.*", lines), "it is on no index"
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = set(re.findall(r"\binstall\([\"'](\w+)[\"']\)", lines))
    assert asked >= {"api", "export", "report", "video", "worker"}
    assert asked <= set(known)
    assert install("report") == "`pip install -e '.[report]'` in Beholder's folder"


def test_make_says_what_it_is_about_to_install_and_pip_shows_how_far_it_is() -> None:
    make = ("make", "--dry-run", "--always-make", "demo")
    lines = subprocess.check_output(make, cwd=ROOT, text=True, timeout=60).splitlines()
    (at,) = (n for n, line in enumerate(lines) if "pip install" in line)
    said = " ".join(lines[at - 2 : at])
    size = re.search(r"about \d+ GB", said)
    assert size is not None
    assert size[0] in README.read_text(encoding="utf-8")
    assert "--quiet" not in lines[at]
