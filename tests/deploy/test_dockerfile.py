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
    """A builder's file system, whose absolute paths lie in a folder here."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.root.mkdir()
        python = folder / "python"  # of the base image, which has nothing but pip
        subprocess.run([sys.executable, "-m", "venv", str(python)], check=True)
        self.env = {key: value for key, value in os.environ.items() if key[:7] != "PIP_NO_"}
        self.env["PATH"] = f"{python / 'bin'}:{os.environ['PATH']}"
        self.folders: dict[str, Path] = {}  # each stage's own, at its end

    def run(self, name: str) -> None:
        """The steps of a stage, in order."""
        stage = STAGES[name]
        folder = self.folders.get(stage.base, self.root)
        for key, value in variables(stage).items():
            if key != "PIP_NO_CACHE_DIR":  # here others need the packages again
                self.env[key] = str(self.here(value)) if value.startswith("/") else value
        for instruction, arguments in stage.steps:
            if instruction == "WORKDIR":
                folder = self.here(arguments)
                folder.mkdir(parents=True)
            elif instruction == "COPY":
                self.copy(folder, *arguments.split())
            elif instruction == "RUN":
                self.shell(folder, arguments)
        self.folders[name] = folder

    def here(self, path: str) -> Path:
        """Where an absolute path lies."""
        return self.root / path.lstrip("/")

    def copy(self, folder: Path, *words: str) -> None:
        """From the context, or from another stage, all of which share one file system here."""
        *sources, target = words
        for source in sources:
            if source.startswith("--from="):
                continue
            given = self.here(source) if source.startswith("/") else ROOT / source
            to = self.here(target) if target.startswith("/") else folder / target
            if given.is_dir() and given != to:
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(given, to, ignore=ignored, dirs_exist_ok=True)
            elif given.is_file():
                shutil.copy(given, to)

    def shell(self, folder: Path, command: str) -> str:
        """As Docker runs a step. Skips the test where there is no index."""
        ended = subprocess.run(
            ["sh", "-c", command],
            cwd=folder,
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
def web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment of the image `web`."""
    replay = Replay(tmp_path_factory.mktemp("image"))
    for name in ("requirements", "venv", "web-packages", "ours", "web"):
        replay.run(name)
    return replay.here("/opt/beholder")


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
    (step,) = STAGES["requirements"].all("RUN")
    extras = re.search(rf"requirements\.py ([\w ]+) >{stage}\.txt", step)
    assert extras is not None
    (install,) = STAGES[f"{stage}-packages"].all("RUN")
    assert install.endswith(f" -r {stage}.txt")
    text = (ROOT / "constraints.txt").read_text()
    pinned = {
        canonicalize_name(name): number
        for name, number in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)
    }
    needed = _needed("beholder", set(extras[1].split()))
    assert package in needed
    assert len(needed) > 50
    for name, number in needed.items():
        assert pinned[canonicalize_name(name)] == Version(number).public, name


def test_what_is_installed_first_is_what_the_wheel_would_ask_for() -> None:
    """Beholder itself comes without what it needs."""
    command = [sys.executable, "deploy/requirements.py", "worker", "s3"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = [Requirement(line) for line in requires("beholder") or []]
    extras = [{"extra": extra} for extra in ("", "worker", "s3")]
    needed = {str(one.name) for one in wanted if one.marker is None or any(
        one.marker.evaluate(extra) for extra in extras
    )}  # fmt: skip
    found = [Requirement(line) for line in said.splitlines()]
    assert {"torch", "s3fs", "pydantic"} <= needed
    assert {one.name for one in found if one.marker is None or one.marker.evaluate()} == needed


def test_every_package_is_pinned() -> None:
    for stage in STAGES.values():
        for step in stage.all("RUN"):
            for command in step.split("&&"):
                pinned = "-c constraints.txt" in command or "--no-deps" in command
                assert pinned or "-m pip" not in command, command
    assert re.search(r"^ARG PYTHON=3\.11\.\d+-slim", (ROOT / "Dockerfile").read_text(), re.M)


def _context(name: str) -> set[str]:
    """What of this folder a stage is made of, by its own steps and by those that it builds on."""
    if name not in STAGES:
        return set()
    found = _context(STAGES[name].base)
    for line in STAGES[name].all("COPY"):
        first, *others, _ = line.split()
        stage = first.removeprefix("--from=")
        found |= {first, *others} if stage == first else _context(stage)
    return found


def test_a_change_of_the_code_installs_no_package_again() -> None:
    lists = {"constraints.txt", "pyproject.toml", "deploy/requirements.py"}
    for name in ("web", "worker"):
        assert _context(f"{name}-packages") == lists
        assert _context(name) > lists
    # A version bump is a change of pyproject.toml, but not of the lists that are made of it.
    for stage in ("venv", "web-packages", "worker-packages"):
        assert "pyproject.toml" not in " ".join(STAGES[stage].all("COPY"))


def test_the_images_are_small_and_not_run_by_root() -> None:
    for name in ("web", "worker"):
        stage = STAGES[name]
        assert stage.base == "base"
        assert stage.all("COPY") == [
            f"--from={name}-packages /opt/beholder /opt/beholder",
            "--from=ours /opt/ours /opt/beholder",
        ]
        assert not stage.all("RUN")
    assert STAGES["base"].steps[-1] == ("USER", "beholder")
    assert variables(STAGES["base"])["BEHOLDER_HOME"] == "/data"
    assert variables(STAGES["venv"])["VENV"] == "/opt/beholder"
    assert variables(STAGES["ours"])["OURS"] == "/opt/ours"


def test_the_context_has_what_is_copied_and_nothing_else() -> None:
    first, *allowed = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert first == "*"
    copied = _context("web") | _context("worker")
    assert {line.removeprefix("!") for line in allowed if line.startswith("!")} == copied
    packages = re.search(
        r"^packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S
    )
    assert packages is not None
    assert {name.partition(".")[0] for name in re.findall(r'"([\w.]+)"', packages[1])} <= copied
