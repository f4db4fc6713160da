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
sys.argv = ["beholder", *sys.argv[1:]]
run()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("jobs",),
        ("channels",),
        ("layers",),
        ("networks",),
        ("submit", "--noise", "2"),
        ("submit", "{picture}", "--network", "specimens"),
        ("study", "--dir", "{folder}"),
    ],
)
def test_without_torch(arguments: tuple[str, ...], tmp_path: Path) -> None:
    picture = tmp_path / "pictures" / "a.png"
    picture.parent.mkdir()
    Image.new("RGB", (40, 40), "teal").save(picture)
    named = [word.format(picture=picture, folder=picture.parent) for word in arguments]
    finished = subprocess.run(
        [sys.executable, "-c", _WITHOUT_TORCH, *named],
        env={**os.environ, "BEHOLDER_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.slow
def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from cli.main import app; "
        "print(*{'sqlalchemy', 'celery', 'redis', 'torch', 'numpy', 'alembic'}"
        " & set(sys.modules))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert loaded.stdout.strip() == ""
