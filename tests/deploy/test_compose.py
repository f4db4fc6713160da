"""docker-compose.yml against Compose itself, Settings, the commands there are, and the metrics."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from api.metrics import exposition
from api.services import Services
from beholder.settings import Settings
from tests.deploy.compose import FILE, OURS, ROOT, blocks, check, document, services
from tests.deploy.dashboard import DASHBOARD, queries
from tests.deploy.settings import in_the_open, unknown
from tests.deploy.stack import APART, path

PUBLISHING = ROOT / "deploy" / "publish-monitoring.yml"
SERVICES = services()


@pytest.mark.slow
def test_compose_takes_the_files(compose: str, tmp_path: Path) -> None:
    """By the specification's JSON schema, which it holds, and by what a schema can't say."""
    alone = check(compose, FILE)
    assert alone.returncode == 0, alone.stderr
    assert set(yaml.safe_load(alone.stdout)["services"]) == set(SERVICES)
    assert "variable is not set" not in alone.stderr
    both = yaml.safe_load(check(compose, FILE, PUBLISHING).stdout)["services"]
    for name in ("flower", "grafana"):
        assert [port["host_ip"] for port in both[name]["ports"]] == ["127.0.0.1"]


@pytest.mark.slow
def test_compose_hands_on_what_the_shell_has(compose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.delenv("OTEL_TRACES_SAMPLER_ARG", raising=False)
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "172.18.0.1")
    services = yaml.safe_load(check(compose, FILE).stdout)["services"]
    assert services["api"]["environment"]["FORWARDED_ALLOW_IPS"] == "172.18.0.1"
    worker = services["worker-cpu"]
    assert worker["environment"]["OTEL_TRACES_SAMPLER"] == "traceidratio"
    assert not worker["environment"]["OTEL_TRACES_SAMPLER_ARG"]  # null: it is not set


def test_the_commands_that_publish_start_what_they_publish() -> None:
    published = yaml.safe_load(PUBLISHING.read_text())["services"]
    page = (ROOT / "docs" / "deployment.md").read_text()
    for text in (PUBLISHING.read_text(), page[page.index("### Watching") :]):
        command = text[text.index("docker compose") : text.index(" up ")]
        profiles = set(re.findall(r"--profile (\w+)", command))
        assert all(profiles & set(SERVICES[name].declared["profiles"]) for name in published)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("    healthcheck:\n", "    healthchecks:\n"),  # no such key
        ("secrets: [redis_password]", "secrets: [redis_passwort]"),  # no such secret
        ("redis-data:/data", "redis-date:/data"),  # no such volume
        ("shm_size: 256mb", "shm_size: [256]"),  # another type
    ],
)
def test_compose_would_say_so(compose: str, tmp_path: Path, right: str, wrong: str) -> None:
    (tmp_path / FILE.name).write_text(FILE.read_text().replace(right, wrong, 1))
    assert check(compose, tmp_path / FILE.name).returncode != 0


def test_every_variable_is_one_that_something_reads() -> None:
    for name in OURS:
        environment = SERVICES[name].declared["environment"]
        assert unknown(environment) == set(), name
        assert in_the_open(environment) == set(), name


def test_each_file_that_a_variable_names_is_a_secret_of_its_service() -> None:
    for name, service in SERVICES.items():
        mounted = {f"/run/secrets/{one}" for one in service.declared.get("secrets", ())}
        said = [*service.command, *service.health, *service.environment.values()]
        said += [(ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()] * (
            name == "prometheus"
        )
        named = set(re.findall(r"/run/secrets/\w+", " ".join(said)))
        # migrate shares its variables with the others, and has no use for the store's key.
        assert named - {"/run/secrets/s3_credentials"} <= mounted, name
        assert mounted <= named, name


def test_postgres_is_healthy_only_where_others_reach_it() -> None:
    """Not by its socket, where the image's first start has a server for itself."""
    postgres = SERVICES["postgres"]
    user, database = (postgres.environment[f"POSTGRES_{part}"] for part in ("USER", "DB"))
    asked = {"--host=127.0.0.1", f"--username={user}", f"--dbname={database}"}
    assert {word for word in postgres.health if "=" in word} == asked


def test_postgres_takes_as_many_connections_as_the_docs_reckon_with() -> None:
    said = " ".join((ROOT / "docs" / "scaling.md").read_text().split())
    (most,) = re.findall(r"`docker-compose.yml` tells it (\d+), which carries", said)
    assert SERVICES["postgres"].command == ["postgres", "-c", f"max_connections={most}"]


def test_only_the_api_has_a_port() -> None:
    assert {name for name, one in SERVICES.items() if "ports" in one.declared} == {"api"}


def test_each_service_looks_after_itself() -> None:
    volumes = document()["volumes"]
    for name, service in SERVICES.items():
        declared = service.declared
        once = "on-failure:5"  # else who waits for its end would wait for ever
        assert declared["restart"] == (once if name == "migrate" else "unless-stopped"), name
        assert "healthcheck" in declared or name == "migrate", name
        assert re.search(r":[\w.${}:-]*\d", declared["image"]), name  # pinned
        assert "no-new-privileges:true" in declared["security_opt"], name
        assert declared["logging"] == {"driver": "local"}, name  # which keeps 100 MB of each
        named = [one.partition(":")[0] for one in declared.get("volumes", ())]
        assert [one for one in named if not one.startswith(("./deploy/", *volumes))] == [], name
        assert all((ROOT / one).exists() for one in named if one.startswith(".")), name
        if name in OURS:
            assert declared["read_only"], name
            assert declared["cap_drop"] == ["ALL"], name


@pytest.mark.slow
def test_redis_ends_when_docker_asks_it_to(tmp_path: Path) -> None:
    """As process 1 of its container, which gets only the signals that it waits for."""
    if shutil.which("redis-server", path=path()) is None:
        pytest.skip("no redis-server here")
    if subprocess.run([*APART, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces here: this needs root")
    (tmp_path / "redis_password").write_text("secret\n")
    places = {"/data": str(tmp_path), "/run/secrets": str(tmp_path)}
    command = [re.sub("/data|/run/secrets", lambda one: places[one[0]], word)
               for word in SERVICES["redis"].command]  # fmt: skip
    log = tmp_path / "log"
    with log.open("wb") as said:
        process = subprocess.Popen([*APART, *command], env={"PATH": path()}, stdout=said)
    try:
        _until(lambda: "Ready to accept connections" in log.read_text())
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        (first,) = map(int, children.read_text().split())
        assert Path(f"/proc/{first}/comm").read_text().startswith("redis-server")
        os.kill(first, signal.SIGTERM)
        assert process.wait(3) == 0
    finally:
        process.kill()
    assert "bye bye" in log.read_text()
    assert list(tmp_path.rglob("appendonly*"))


def test_no_service_is_run_by_root() -> None:
    """Ours by the Dockerfile; the others change by their entrypoint, which a shell bypasses."""
    for name in set(SERVICES) - set(OURS):
        declared = SERVICES[name].declared
        assert "entrypoint" not in declared, name
        bypassed = declared.get("command", [""])[0] in ("sh", "bash")
        assert ("user" in declared) == bypassed, name
        assert declared.get("user") not in ("root", "0"), name


@pytest.mark.slow
def test_every_command_of_ours_is_there() -> None:
    for name in OURS:
        program, *words = SERVICES[name].command
        if program == "beholder":
            command = [sys.executable, "-m", "cli", *words, "--help"]
        else:
            command = [
                sys.executable,
                "-c",
                f"import importlib; importlib.import_module({words[1]!r})",
            ]
            assert (program, words[0]) == ("python", "-m")
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, ended.stderr


def test_the_dashboard_asks_for_metrics_that_there_are(tmp_path: Path) -> None:
    asked = {name for query in queries() for name in _names(promql_parser.parse(query))}
    assert len(asked) > 6
    assert {name.removesuffix("_total") for name in asked} <= _metrics(tmp_path)


def test_the_page_s_rule_for_scaling_asks_for_metrics_that_there_are(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    (question,) = [block for block in blocks(page, "") if block.startswith("sum(")]
    assert {"beholder_pending_items", "beholder_worker_items_total"} <= _names(
        promql_parser.parse(question)
    )
    named = set(re.findall(r"beholder_\w+", page))
    assert len(named) > 4
    assert {name.removesuffix("_total") for name in named} <= _metrics(tmp_path)


def test_the_dashboard_is_provisioned() -> None:
    grafana = SERVICES["grafana"]
    mounted = dict(one.split(":")[1::-1] for one in grafana.declared["volumes"])
    folder = ROOT / "deploy" / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((folder / "dashboards" / "beholder.yml").read_text())["providers"]
    assert ROOT / mounted[provider["options"]["path"]] == DASHBOARD.parent
    home = grafana.environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/{DASHBOARD.name}"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    assert f'"uid": "{source["uid"]}"' in DASHBOARD.read_text()
    assert source["url"] == "http://prometheus:9090"
    (job,) = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())[
        "scrape_configs"
    ]
    assert job["static_configs"] == [{"targets": ["api:8321"]}]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("promtool") is None, reason="no Prometheus here")
def test_prometheus_takes_its_file() -> None:
    file = ROOT / "deploy" / "prometheus" / "prometheus.yml"
    subprocess.run(["promtool", "check", "config", "--syntax-only", str(file)], check=True)


def _until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _metrics(home: Path) -> set[str]:
    """Those of `/metrics`."""
    text = exposition(Services.open(Settings(home=home))).decode()
    return {family.name for family in text_string_to_metric_families(text)}


def _names(expression: Any) -> set[str]:
    """The metrics that a parsed PromQL expression reads."""
    return set(re.findall(r"beholder_\w+", expression.prettify()))
