"""docker-compose.yml as Compose reads it: `services(...)`, each with its commands and settings."""

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
OURS = ("migrate", "api", "worker-gpu", "worker-cpu", "flower")
_PROGRAMS = {"store": ["weed"], "prometheus": ["prometheus"]}  # of the images' entrypoints
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::-([^}]*))?\})")


@dataclass(frozen=True)
class Service:
    """What a container of it would run."""

    name: str
    declared: dict[str, Any]

    @property
    def command(self) -> list[str]:
        """What the container runs, after what the image's entrypoint puts before it."""
        return [*_PROGRAMS.get(self.name, ()), *_words(self.declared.get("command"))]

    @property
    def environment(self) -> dict[str, str]:
        """Its variables; those without a value are the shell's, where it has them."""
        declared = self.declared.get("environment", {})
        return {key: str(value) for key, value in declared.items() if value is not None}

    @property
    def health(self) -> list[str]:
        """The health check's command; [] where there is none."""
        if "healthcheck" not in self.declared:
            return []
        kind, *words = self.declared["healthcheck"]["test"]
        return ["sh", "-c", *words] if kind == "CMD-SHELL" else words


def document(**variables: str) -> dict[str, Any]:
    """The whole file, with `${NAME:-default}` replaced."""
    found: dict[str, Any] = _replaced(yaml.safe_load(FILE.read_text()), variables)
    return found


def services(**variables: str) -> dict[str, Service]:
    """The services by name."""
    declared = document(**variables)["services"]
    return {name: Service(name, one) for name, one in declared.items()}


def check(compose: str, *files: Path) -> subprocess.CompletedProcess[str]:
    """What Compose says of files that are read together, and what it makes of them."""
    named = [word for file in files for word in ("--file", str(file))]
    command = [compose, "--project-directory", str(ROOT), *named, "--profile", "*", "config"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def blocks(page: str, language: str) -> list[str]:
    """A page's examples in a language."""
    every = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return [text for named, text in every if named == language]


def _replaced(value: Any, variables: dict[str, str]) -> Any:
    if isinstance(value, str):
        return _VARIABLE.sub(
            lambda match: variables.get(match[1], match[2] or "") if match[1] else "$", value
        )
    if isinstance(value, list):
        return [_replaced(one, variables) for one in value]
    if isinstance(value, dict):
        return {key: _replaced(one, variables) for key, one in value.items()}
    return value


def _words(value: str | list[str] | None) -> list[str]:
    return shlex.split(value) if isinstance(value, str) else list(value or [])
