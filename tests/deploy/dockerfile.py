"""The Dockerfile as Docker reads it: `stages()`, each with its steps in order."""

import re
from dataclasses import dataclass, field

from tests.deploy.compose import ROOT

FILE = ROOT / "Dockerfile"


@dataclass
class Stage:
    """One FROM and what follows it. steps: (instruction, arguments)."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """The arguments of every such step."""
        return [arguments for name, arguments in self.steps if name == instruction]


def stages() -> dict[str, Stage]:
    """The stages by name."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.M))
    found: dict[str, Stage] = {}
    last: Stage | None = None
    for line in filter(None, text.splitlines()):
        instruction, _, arguments = line.partition(" ")
        if instruction == "FROM":
            base, _, name = arguments.partition(" AS ")
            last = found[name] = Stage(name, base)
        elif last is not None:
            last.steps.append((instruction, arguments.strip()))
    return found


def variables(stage: Stage) -> dict[str, str]:
    """What its ENV steps set."""
    pairs = [word for line in stage.all("ENV") for word in line.split()]
    return dict(pair.split("=", 1) for pair in pairs)
