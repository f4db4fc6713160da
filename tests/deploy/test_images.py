"""Each image is built once, and what the docs add for more GPUs and machines fits the others."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.compose import FILE, OURS, ROOT, blocks, check, services

WORKER = ROOT / "deploy" / "worker.yml"
SERVICES = {name: service.declared for name, service in services().items()}
PAGE = (ROOT / "docs" / "deployment.md").read_text()


def _builders(declared: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """The services that build an image, by its name."""
    found: dict[str, list[str]] = {}
    for name, one in declared.items():
        found.setdefault(one["image"], []).extend([name] if one.get("build") else [])
    return found


def test_each_image_of_ours_is_built_once_and_never_pulled() -> None:
    """Compose builds side by side; where two export one tag, the second fails."""
    ours = {name: SERVICES[name] for name in OURS}
    built = _builders(ours)
    assert {image.partition(":")[0] for image in built} == {"beholder-web", "beholder-worker"}
    assert all(len(services) == 1 for services in built.values())
    # `docker compose build` leaves out what belongs to a profile.
    assert not any("profiles" in ours[name] for (name,) in built.values())
    assert {one["pull_policy"] for one in ours.values()} == {"never"}
    for image, (builder,) in built.items():
        assert image.partition(":")[0] == f"beholder-{ours[builder]['build']['target']}"
    theirs = [one for name, one in SERVICES.items() if name not in OURS]
    assert not any({"build", "pull_policy"} & one.keys() for one in theirs)


@pytest.mark.slow
def test_the_page_s_worker_for_a_second_gpu(compose: str, tmp_path: Path) -> None:
    override = next(block for block in blocks(PAGE, "yaml") if "worker-gpu-1" in block)
    (tmp_path / "override.yml").write_text(override)
    merged = check(compose, FILE, tmp_path / "override.yml")
    assert merged.returncode == 0, merged.stderr
    together = yaml.safe_load(merged.stdout)["services"]
    second = together["worker-gpu-1"]
    assert second["environment"]["BEHOLDER_DEVICE"] == "cuda:1"
    assert second["deploy"]["resources"]["reservations"]["devices"]
    assert second["healthcheck"]
    assert _builders(together) == _builders(SERVICES)
    assert second["pull_policy"] == "never"


def _block(*words: str) -> str:
    """The page's commands that have all of these words."""
    (found,) = [one for one in blocks(PAGE, "") if all(word in one for word in words)]
    return found


@pytest.mark.slow
def test_the_page_s_worker_on_another_machine(
    compose: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = _block("scp ", "deploy/worker.yml")
    variables = dict(re.findall(r"^(\w+)=(\S+)$", said, re.M))
    for name in variables:
        monkeypatch.delenv(name, raising=False)
    assert "into .env" in check(compose, WORKER).stderr
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    alone = check(compose, WORKER)
    assert alone.returncode == 0, alone.stderr
    (worker,) = yaml.safe_load(alone.stdout)["services"].values()
    twin = yaml.safe_load(check(compose, FILE).stdout)["services"]["worker-gpu"]
    assert "depends_on" not in worker
    named = {name for name in worker["environment"] if worker["environment"][name] is not None}
    assert {name for name in named if worker["environment"][name] != twin["environment"][name]} == {
        *variables
    }
    same = twin.keys() - {"depends_on", "environment"}
    assert {key: worker.get(key) for key in same} == {key: twin[key] for key in same}
    (copied,) = re.findall(r"secrets/\{([\w,]+)\}", said)
    assert set(copied.split(",")) == {one["source"] for one in worker["secrets"]}

    override = next(block for block in blocks(PAGE, "yaml") if "redis: {ports" in block)
    (tmp_path / "override.yml").write_text(override)
    opened = yaml.safe_load(check(compose, FILE, tmp_path / "override.yml").stdout)["services"]
    ports = [port for name in ("redis", "postgres", "store") for port in opened[name]["ports"]]
    for port in ports:
        assert f"{port['host_ip']}:{port['published']}" in " ".join(variables.values())
        assert str(port["target"]) == port["published"]
    assert len(ports) == len(variables)


def test_the_page_upgrades_in_the_order_that_operations_gives() -> None:
    commands = _block("run --rm migrate").splitlines()
    assert [line.partition("#")[0].split()[2:] for line in commands] == [
        ["build"],
        ["run", "--rm", "migrate"],
        ["up", "--detach", "--no-deps", "worker-gpu"],
        ["up", "--detach", "--no-deps", "api"],
    ]


def test_the_driver_is_the_least_for_the_cuda_that_is_pinned() -> None:
    """By NVIDIA's table: 580 for any CUDA 13."""
    (cuda,) = re.findall(r"^cuda-toolkit==(\d+)", (ROOT / "constraints.txt").read_text(), re.M)
    (said,) = re.findall(r"CUDA (\d+) \(`constraints.txt`\)", PAGE)
    assert said == cuda == "13"
    assert "NVIDIA driver of 580 or newer" in " ".join(PAGE.split())
