"""`make test-fast` runs what README.md says, and nothing there makes it slow."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MOST_CPU_S, is_slow

ROOT = Path(__file__).parents[1]
HEAVY = {"api", "fastapi", "matplotlib", "numpy", "pyarrow", "scipy", "sklearn", "tests.api",
         "torch", "torchvision", "uvicorn", "worker", "beholder.science"}  # fmt: skip


def in_readme() -> list[str]:
    """Paths, as README.md's sentence has them."""
    words = " ".join((ROOT / "README.md").read_text().split())
    (named,) = re.findall(r"`make test-fast`.{0,60}?the tests of (.+?) that are not marked", words)
    return re.findall(r"`(tests/.+?)`", named)


def files(path: str) -> list[Path]:
    return sorted((ROOT / path).rglob("*.py")) if "*" not in path else sorted(ROOT.glob(path))


def imported(path: Path) -> Iterator[str]:
    """Modules that are imported with this one."""
    for line in ast.parse(path.read_bytes()).body:
        if isinstance(line, ast.Import):
            yield from (name.name for name in line.names)
        elif isinstance(line, ast.ImportFrom):
            yield from (f"{line.module}.{name.name}" for name in line.names)


def test_make_runs_what_the_readme_says() -> None:
    done = subprocess.run(
        ["make", "-n", "test-fast"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    runs = [line for line in done.stdout.splitlines() if "pytest" in line]
    run = [word for line in runs for word in re.findall(r"tests/[\w/.]+", line)]
    assert all('-m "not slow"' in line for line in runs)
    found = [path for one in run for path in files(one) or [ROOT / one]]
    told = [path for one in in_readme() for path in files(one)]
    assert {path for path in found if path.match("test_*.py")} == {
        path for path in told if path.match("test_*.py")
    }
    assert len(run) == len(set(run))


def test_nothing_heavy_is_imported_by_what_is_fast() -> None:
    read = [path for one in in_readme() for path in files(one) if not is_slow(path)]
    assert len(read) > 50
    heavy = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in read
        for name in imported(path)
        if any(f"{name}.".startswith(f"{one}.") for one in HEAVY)
    ]
    assert heavy == []


@pytest.mark.slow
def test_what_is_slow_is_passed_over_and_what_is_too_slow_fails(tmp_path: Path) -> None:
    (tmp_path / "test_slow.py").write_text(
        "import pytest, no_such_module\npytestmark = [pytest.mark.slow, pytest.mark.x]\n"
    )
    (tmp_path / "test_fast.py").write_text(
        "import os, subprocess, sys, time\n"
        "def spend():\n"
        f"    while sum(os.times()[:2]) < {MOST_CPU_S + 0.1} + began: pass\n"
        "began = 0\n"
        "def test_quick(): time.sleep(0.01)\n"
        "def test_alone():\n    global began\n    began = sum(os.times()[:2])\n    spend()\n"
        "def test_in_a_program():\n"
        f"    code = 'import time\\nwhile time.process_time() < {MOST_CPU_S + 0.1}: pass'\n"
        "    subprocess.run([sys.executable, '-c', code])\n"
    )
    for marked, outcome in (("not slow", "2 failed, 1 passed"), ("not fuzz", "1 error")):
        done = subprocess.run(
            # Without the summary, which on continuous integration repeats whole messages.
            [sys.executable, "-m", "pytest", "-rN", "-p", "tests.conftest", "-m", marked],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert outcome in done.stdout
        assert done.stdout.count("s of processor time: mark it slow") == 2 * (marked == "not slow")
