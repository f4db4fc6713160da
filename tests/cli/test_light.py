"""The command line works where torch can't be imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

_WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "numpy"):
            raise ImportError(f"{name} is not to be imported here")

sys.meta_path.insert(0, NoTorch())
from cli.main import run

for line in sys.stdin.read().splitlines():
    sys.argv = ["beholder", *line.split("\\t")]
    try:
        run()
    except SystemExit as ended:
        assert not ended.code, f"{line}: {ended.code}"
    print("ran", file=sys.stderr)
"""


@pytest.mark.slow
def test_without_torch(tmp_path: Path) -> None:
    picture = tmp_path / "pictures" / "a.png"
    picture.parent.mkdir()
    Image.new("RGB", (40, 40), "teal").save(picture)
    commands = [
        ("--help",),
        ("jobs",),
        ("channels",),
        ("layers",),
        ("networks",),
        ("submit", "--noise", "2"),
        ("submit", str(picture), "--network", "specimens"),
        ("study", "--dir", str(picture.parent)),
    ]
    finished = subprocess.run(
        [sys.executable, "-c", _WITHOUT_TORCH],
        input="\n".join("\t".join(command) for command in commands),
        env={**os.environ, "BEHOLDER_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.splitlines().count("ran") == len(commands)


_HEAVY = {"alembic", "celery", "fsspec", "kombu", "numpy", "psycopg", "redis", "torch"}
_LOADED = """
import sys
from cli.main import run
names = set(sys.argv.pop(1).split(","))
try:
    run()
except SystemExit as ended:
    assert not ended.code
print("loaded", *sorted(names & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (("--help",), {"pydantic", "sqlalchemy", "PIL"}),
        (("submit", "--help"), {"sqlalchemy", "beholder.specs", "PIL"}),
        (("report", "--help"), {"sqlalchemy", "beholder.report", "matplotlib", "PIL"}),
        (("jobs",), {"beholder.specs", "beholder.service", "sqlalchemy.dialects.postgresql"}),
    ],
)
def test_a_command_loads_what_it_needs_alone(
    arguments: tuple[str, ...], unwanted: set[str], tmp_path: Path
) -> None:
    env = {**os.environ, "BEHOLDER_HOME": str(tmp_path)}
    names = ",".join(_HEAVY | unwanted)
    for _ in range(1 + (arguments == ("jobs",))):  # its first run has to make the database
        finished = subprocess.run(
            [sys.executable, "-c", _LOADED, names, *arguments],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert finished.stderr.splitlines()[-1] == "loaded"


@pytest.mark.slow
@pytest.mark.there
def test_a_client_loads_neither_database_nor_queue(home: Path) -> None:
    command = [sys.executable, "-c", _LOADED, ",".join(_HEAVY | {"sqlalchemy"}), "jobs"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert finished.stderr.splitlines()[-1] == "loaded"
