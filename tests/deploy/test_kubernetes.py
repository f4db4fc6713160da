"""docs/kubernetes.yaml: its names fit each other, Settings, the commands, routes and metrics."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from prometheus_client.parser import text_string_to_metric_families

from api.metrics import exposition
from api.routes import health
from api.services import Services
from beholder.devices import open_to
from beholder.settings import Settings
from tests.deploy.compose import ROOT, services
from tests.deploy.settings import in_the_open, unknown

FILE = ROOT / "docs" / "kubernetes.yaml"
DOCUMENTS = list(yaml.safe_load_all(FILE.read_text()))


def _pods() -> dict[str, dict[str, Any]]:
    """The pods' specs by the name of their container."""
    specs = [one["spec"]["template"]["spec"] for one in DOCUMENTS if "template" in one["spec"]]
    return {spec["containers"][0]["name"]: spec for spec in specs}


def _only(kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in DOCUMENTS if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return dict(found)


DOCUMENTS = [one if "spec" in one else {**one, "spec": {}} for one in DOCUMENTS]
SETTINGS = _only("ConfigMap", "beholder")["data"]


def test_it_has_what_a_deployment_needs() -> None:
    kinds = [one["kind"] for one in DOCUMENTS]
    assert kinds == [
        "ConfigMap", "Job", "Deployment", "Service", "Deployment", "ScaledObject"
    ]  # fmt: skip
    assert set(_pods()) == {"migrate", "api", "worker"}
    assert all("apiVersion" in one and "name" in one["metadata"] for one in DOCUMENTS)


def test_every_variable_is_one_that_something_reads() -> None:
    for spec in _pods().values():
        (container,) = spec["containers"]
        environment = SETTINGS | {one["name"]: one["value"] for one in container.get("env", ())}
        assert unknown(environment) == set()
        assert in_the_open(environment) == set()
        assert all(isinstance(value, str) for value in environment.values())
        assert container["envFrom"] == [{"configMapRef": {"name": "beholder"}}]


def test_every_secret_is_one_that_the_script_makes() -> None:
    script = (ROOT / "deploy" / "make-secrets").read_text()
    named = set(re.findall(r"/run/secrets/beholder/(\w+)", FILE.read_text()))
    assert len(named) == 4
    assert all(f"keep {name} " in script for name in named)
    for spec in _pods().values():
        mounts = {one["mountPath"]: one["name"] for one in spec["containers"][0]["volumeMounts"]}
        volumes = {one["name"]: one for one in spec["volumes"]}
        assert set(mounts) == {"/run/secrets/beholder", "/data", "/tmp"}
        assert set(mounts.values()) <= set(volumes)
        secret = volumes["secrets"]["secret"]
        assert secret["secretName"] == "beholder"
        assert all(one["key"] == one["path"] for one in secret["items"])


def test_each_pod_gets_the_secrets_that_it_has_a_use_for() -> None:
    twins = services()
    for name, twin in (("migrate", "migrate"), ("api", "api"), ("worker", "worker-gpu")):
        (volume,) = [one for one in _pods()[name]["volumes"] if one["name"] == "secrets"]
        mounted = {one["key"] for one in volume["secret"]["items"]}
        assert mounted == set(twins[twin].declared["secrets"]), name


def test_commands_are_those_of_compose() -> None:
    declared = services()
    for name, twin in (("migrate", "migrate"), ("api", "api"), ("worker", "worker-gpu")):
        (container,) = _pods()[name]["containers"]
        assert container["command"] == declared[twin].command
        assert container["image"] == declared[twin].declared["image"]
    probe = _pods()["worker"]["containers"][0]["livenessProbe"]["exec"]["command"]
    assert probe == declared["worker-gpu"].health
    assert importlib.util.find_spec(probe[-1]) is not None


def test_ports_labels_and_probes_fit() -> None:
    api, service = _pods()["api"]["containers"][0], _only("Service", "beholder-api")
    assert api["ports"] == [{"name": "http", "containerPort": Settings().api_port}]
    assert service["spec"]["ports"][0]["targetPort"] == "http"
    routes = {route.path for route in health.router.routes if hasattr(route, "path")}
    for kind in ("readinessProbe", "livenessProbe"):
        assert api[kind]["httpGet"]["path"] in routes
    for name in ("beholder-api", "beholder-worker"):
        spec = _only("Deployment", name)["spec"]
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == {"app": "beholder-api"}
    limits = _pods()["worker"]["containers"][0]["resources"]["limits"]
    assert limits == {"nvidia.com/gpu": 1}


def test_a_rollout_of_workers_asks_for_no_gpu_that_is_taken() -> None:
    strategy = _only("Deployment", "beholder-worker")["spec"]["strategy"]
    assert strategy["type"] == "RollingUpdate"
    assert strategy["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    (awaited,) = re.findall(r"kubectl rollout status deployment/([\w-]+)", FILE.read_text())
    assert awaited == _only("Deployment", "beholder-worker")["metadata"]["name"]


def test_no_service_s_links_are_taken_for_settings() -> None:
    """Kubernetes gives each later pod `NAME_PORT=tcp://...` and more for each Service there is."""
    links = set()
    for one in DOCUMENTS:
        if one["kind"] == "Service":
            host = one["metadata"]["name"].upper().replace("-", "_")
            links |= {f"{host}_SERVICE_HOST", f"{host}_SERVICE_PORT", f"{host}_PORT"}
    assert links - unknown(links) == {"BEHOLDER_API_PORT"}
    assert all(spec["enableServiceLinks"] is False for spec in _pods().values())


def test_no_pod_is_run_by_root() -> None:
    user = re.search(r"useradd --uid (\d+)", (ROOT / "Dockerfile").read_text())
    assert user is not None
    for spec in _pods().values():
        assert spec["securityContext"]["runAsUser"] == int(user[1])
        assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"]


def test_it_scales_by_a_metric_that_there_is(tmp_path: Path) -> None:
    spec = _only("ScaledObject", "beholder-worker")["spec"]
    assert (
        spec["scaleTargetRef"]["name"] == _only("Deployment", "beholder-worker")["metadata"]["name"]
    )
    (trigger,) = spec["triggers"]
    text = exposition(Services.open(Settings(home=tmp_path))).decode()
    there = {family.name for family in text_string_to_metric_families(text)}
    query = promql_parser.parse(trigger["metadata"]["query"]).prettify()
    assert set(re.findall(r"beholder_\w+", query)) == {"beholder_open_items"} <= there
    (asked,) = re.findall(r'device=~"([^"]+)"', query)
    assert set(asked.split("|")) == set(open_to("gpu"))  # what the workers that it adds may run
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert "fallback" not in spec
