"""`make audit` with each answer that pip-audit may give, from a program that gives it."""

import json
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # a program for each; seconds in all
AUDIT = Path(__file__).parents[2] / ".ci" / "audit.py"
CLEAN = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "not found on PyPI"}
BROKEN = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}


def audit(*command):
    ended = subprocess.run(
        [sys.executable, AUDIT, *command], capture_output=True, text=True, check=False, timeout=60
    )
    return ended.returncode, ended.stdout + ended.stderr


def answering(*rows):
    """A program that answers with these packages."""
    said = json.dumps({"dependencies": rows})
    return sys.executable, "-c", f"print({said!r})"


@pytest.mark.parametrize(
    ("rows", "code", "words"),
    [
        ([CLEAN, SKIPPED], 0, "audit: 0 known vulnerabilities in 1 of 2 packages"),
        ([CLEAN, BROKEN], 1, "audit: c 2: PYSEC-1, fixed in 3"),
        ([SKIPPED], 0, "audit: not done: the index knows none of the packages here"),
        ([], 0, "audit: not done"),
    ],
)
def test_what_is_said(rows, code, words):
    found = audit(*answering(*rows))
    assert found[0] == code
    assert words in found[1]


@pytest.mark.parametrize(
    "command",
    [
        (sys.executable, "-c", "import sys; sys.exit('connection refused')"),
        (sys.executable, "-c", "print('{}')"),
        ("no-such-program",),
    ],
)
def test_being_offline_fails_nothing(command):
    code, said = audit(*command)
    assert (code, said.startswith("audit: not done")) == (0, True)
    assert said.count("\n") == 1


def test_it_never_takes_long():
    main = runpy.run_path(str(AUDIT))["main"]
    begun = time.monotonic()
    assert main((sys.executable, "-c", "import time; time.sleep(30)"), timeout_s=0.5) == 0
    assert time.monotonic() - begun < 5
    assert runpy.run_path(str(AUDIT))["TIMEOUT_S"] < 60
