"""The Dockerfile's steps that make the packages, replayed in environments that have nothing."""

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from beholder.tokens import make_token
from tests.deploy.compose import ROOT, services
from tests.deploy.dockerfile import stages, variables
from tests.e2e.conftest import free_port

STAGES = stages()
OFFLINE = ("Failed to establish a new connection", "No matching distribution", "Name or service")


class Replay:
    """A builder's file system: its work folder, and what is at $VENV and $WHEELS."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "src"
        self.venv, self.wheels = folder / "venv", folder / "wheels"
        self.source.mkdir()
        python = folder / "python"  # of the base image, which has nothing but pip
        subprocess.run([sys.executable, "-m", "venv", str(python)], check=True)
        env = {key: value for key, value in os.environ.items() if not key.startswith("PIP_NO_")}
        self.env = env | variables(STAGES["build"]) | {"VENV": str(self.venv)}
        self.env |= {"WHEELS": str(self.wheels), "PATH": f"{python / 'bin'}:{os.environ['PATH']}"}
        del self.env["PIP_NO_CACHE_DIR"]  # here others need the packages again

    def run(self, name: str) -> None:
        """The steps of a stage, in order."""
        for instruction, arguments in STAGES[name].steps:
            if instruction == "COPY":
                self.copy(*arguments.split())
            elif instruction == "RUN":
                self.shell(arguments)

    def copy(self, *words: str) -> None:
        *sources, target = words
        for source in sources:
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, self.source / target, ignore=ignored)
            else:
                shutil.copy(ROOT / source, self.source / target)

    def shell(self, command: str) -> str:
        """As Docker runs a step. Skips the test where there is no index."""
        ended = subprocess.run(
            ["sh", "-c", command],
            cwd=self.source,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        if ended.returncode and any(words in ended.stderr for words in OFFLINE):
            pytest.skip("no package index can be asked here")
        assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
        return ended.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    replay = Replay(tmp_path_factory.mktemp("image"))
    replay.run("build")
    return replay


@pytest.fixture(scope="module")
def web(built: Replay) -> Path:
    """The environment of the image `web`."""
    built.run("web-packages")
    return built.venv


def _env(folder: Path, **more: str) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "BEHOLDER_HOME": str(folder), **more}


@pytest.mark.deployment
@pytest.mark.slow
def test_web_has_its_commands_and_no_torch(web: Path, tmp_path: Path) -> None:
    said = subprocess.run(
        [str(web / "bin" / "beholder"), "--help"],
        env=_env(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert "submit" in said
    packages = {path.name for path in (web / "lib").glob("python*/site-packages/*")}
    assert not packages & {"torch", "torchvision", "triton", "pip"}
    assert packages >= {"beholder", "fastapi", "s3fs", "flower", "matplotlib"}
    for command in ([*services()["migrate"].command], ["beholder", "jobs"]):
        subprocess.run(
            [str(web / "bin" / command[0]), *command[1:]], env=_env(tmp_path), check=True
        )


@pytest.mark.deployment
@pytest.mark.slow
def test_the_api_starts_from_it(web: Path, tmp_path: Path) -> None:
    port = str(free_port())
    entry = make_token("ada", "admin")[1]
    env = _env(tmp_path, BEHOLDER_API_TOKENS=entry, BEHOLDER_API_PORT=port, BEHOLDER_LOG="json")
    program, *words = services()["api"].command
    api = subprocess.Popen(
        [str(web / "bin" / program), *words], env=env, cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    try:
        check = services()["api"].health
        check = [str(web / "bin" / check[0]), *(word.replace("8321", port) for word in check[1:])]
        for _ in range(100):
            if not subprocess.run(check, stderr=subprocess.DEVNULL, check=False).returncode:
                break
            assert api.poll() is None
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/jobs", timeout=10)
    finally:
        api.send_signal(signal.SIGTERM)
        assert api.wait(20) in (0, -signal.SIGTERM)


def _needed(name: str, extras: set[str]) -> dict[str, str]:
    """What a package with extras brings, by name, in the version that is installed here."""
    found: dict[str, str] = {}
    waiting = [(name, extras)]
    while waiting:
        package, wanted = waiting.pop()
        for line in requires(package) or []:
            one = Requirement(line)
            chosen = [{"extra": extra} for extra in {"", *wanted}]
            if one.marker is not None and not any(map(one.marker.evaluate, chosen)):
                continue
            if one.name not in found or one.extras:
                found[one.name] = version(one.name)
                waiting.append((one.name, set(one.extras)))
    return found


@pytest.mark.parametrize(("stage", "package"), [("web", "fastapi"), ("worker", "torch")])
def test_all_that_an_image_needs_is_pinned_as_it_is_here(stage: str, package: str) -> None:
    """Torch's packages have gigabytes: of `worker` nothing is installed, but it is all here."""
    (step,) = STAGES[f"{stage}-packages"].all("RUN")
    extras = re.search(r"\[([\w,]+)\]", step)
    assert extras is not None
    text = (ROOT / "constraints.txt").read_text()
    pinned = {
        canonicalize_name(name): number
        for name, number in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)
    }
    needed = _needed("beholder", set(extras[1].split(",")))
    assert package in needed
    assert len(needed) > 50
    for name, number in needed.items():
        assert pinned[canonicalize_name(name)] == Version(number).public, name


def test_every_package_is_pinned() -> None:
    for name in ("build", "web-packages", "worker-packages"):
        for step in STAGES[name].all("RUN"):
            for command in step.split("&&"):
                assert " install " not in command or "-c constraints.txt" in command
    assert re.search(r"^ARG PYTHON=3\.11\.\d+-slim", (ROOT / "Dockerfile").read_text(), re.M)


def test_the_images_are_small_and_not_run_by_root() -> None:
    for name in ("web", "worker"):
        stage = STAGES[name]
        assert stage.base == "base"
        assert stage.all("COPY") == [f"--from={name}-packages /opt/beholder /opt/beholder"]
        assert not stage.all("RUN")
    assert STAGES["base"].steps[-1] == ("USER", "beholder")
    assert variables(STAGES["base"])["BEHOLDER_HOME"] == "/data"
    assert variables(STAGES["build"])["VENV"] == "/opt/beholder"


def test_the_context_has_what_is_copied_and_nothing_else() -> None:
    first, *allowed = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert first == "*"
    copied = {word for line in STAGES["build"].all("COPY") for word in line.split()} - {"./"}
    assert {line.removeprefix("!") for line in allowed if line.startswith("!")} == copied
    packages = re.search(
        r"^packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S
    )
    assert packages is not None
    assert {name.partition(".")[0] for name in re.findall(r'"([\w.]+)"', packages[1])} <= copied
