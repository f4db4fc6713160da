"""Each image is built by one service, and services that are added by the docs fit the others."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.compose import FILE, OURS, ROOT, blocks, check, services

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
