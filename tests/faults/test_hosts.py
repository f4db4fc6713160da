"""Workers, API, Redis and Postgres on hosts of their own, one of which is cut off in mid-batch."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beholder.jobs.fleet import FleetView, fleet, tell
from beholder.jobs.schema import upgrade
from benchmarks.harness import Row
from tests.e2e.conftest import own_env
from tests.faults.hosts import Host, Network, why_not

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]
full = pytest.mark.faults
LEASE_S = 3.0
# Asked where the API listens, since nobody else reaches its loopback.
ASK = """
import sys, urllib.request
body = sys.argv[2].encode() if len(sys.argv) > 2 else None
request = urllib.request.Request(sys.argv[1], body, {"Content-Type": "application/json"})
print(urllib.request.urlopen(request, timeout=20).read().decode())
"""

# Multiplies matrices on one core for a while, and says how often.
PRODUCTS = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
import torch
torch.set_num_threads(1)
matrix, done = torch.rand(512, 512), 0
ends = time.monotonic() + 3
while time.monotonic() < ends:
    matrix @ matrix
    done += 1
print(done)
"""


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[dict[str, Host]]:
    """api, first and second: each a machine of its own, with the store as a shared folder."""
    network = Network()
    hosts: dict[str, Host] = {}
    try:
        redis_url = network.redis("redis")
        there, here = network.postgres("postgres")
        upgrade(here)
        for number, name in enumerate(("api", "first", "second")):
            network.add(name)
            home = tmp_path / name
            home.mkdir()
            settings = {"lease_s": LEASE_S, "sweep_s": 1, "store_url": tmp_path / "store"}
            env = own_env(home, database_url=there, redis_url=redis_url, **settings)
            core = number - 1 if number else None
            hosts[name] = Host(home, env, network=network, name=name, core=core, reached=here)
            hosts[name].env["OMP_NUM_THREADS"] = "1"
        yield hosts
    finally:
        for host in hosts.values():
            host.stop()
        network.close()


def ask(host: Host, path: str, body: object = None) -> Any:
    """What the API on this host answers."""
    assert host.network is not None
    url = f"http://127.0.0.1:{host.env['BEHOLDER_API_PORT']}{path}"
    words = [url] if body is None else [url, json.dumps(body)]
    command = host.network.on(host.name, sys.executable, "-c", ASK, *words)
    return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)


def dreams(host: Host, count: int, *, steps: int) -> str:
    spec = {"noise": count, "steps": steps, "size": 64, "layers": [12], "network": "specimens"}
    return str(ask(host, "/v1/dreams", {"spec": spec})["id"])


def seen(host: Host, name: str) -> FleetView | None:
    """The worker on this host, if it was heard of in the last seconds."""
    alive = fleet(host.db, within_s=4 * float(host.env["BEHOLDER_SWEEP_S"]))
    return next((worker for worker in alive if worker.host == name), None)


def start(rack: dict[str, Host]) -> Host:
    """Start everything; the host that asks."""
    api = rack["api"]
    api.start("api")
    for name in ("first", "second"):
        rack[name].start("worker")
    for name in ("first", "second"):
        api.until(lambda name=name: seen(api, name))
    api.until(lambda: ask(api, "/readyz")["workers"] == 2)
    return api


@pytest.mark.parametrize("count", [96, pytest.param(1600, marks=full)])
def test_a_worker_is_cut_off_in_mid_batch_and_comes_back(
    rack: dict[str, Host], figures: Any, count: int
) -> None:
    api = start(rack)
    network = api.network
    assert network is not None
    job = dreams(api, count, steps=48)

    def both_at_it() -> bool:
        working = [seen(api, name) for name in ("first", "second")]
        return all(one is not None and one.in_hand for one in working)

    api.until(both_at_it, every_s=0.05)
    network.cut("first")
    cut_at = time.monotonic()
    cut_off = seen(api, "first")
    assert cut_off is not None
    ended = api.end_of(job)
    took_s = time.monotonic() - cut_at
    assert ended.done == count
    assert seen(api, "first") is None, "it was not cut off"
    network.heal("first")
    back = api.until(lambda: seen(api, "first"), timeout_s=60)
    assert back.name == cut_off.name, "it had to be started again"
    second = seen(api, "second")
    assert second is not None
    tell(api.db, "second", "pause")
    again = dreams(api, 8, steps=2)
    assert api.end_of(again, timeout_s=120).done == 8
    findings = api.findings(job, again)
    fault = "a worker's line cut in mid-batch, and healed"
    figures(fault, Row("lost or doubled", len(findings), "", 0, "lower"))
    figures(fault, Row("the rest took", took_s, "s", None, None, "while it was cut off"))
    assert findings == []


@full
def test_two_workers_of_a_core_each_do_nearly_twice_as_much(
    rack: dict[str, Host], figures: Any
) -> None:
    api = start(rack)
    rates = {}
    for workers in (1, 2):
        tell(api.db, "second", "pause" if workers == 1 else None)
        job = dreams(api, 480 * workers, steps=12)
        api.reaches(job, 48 * workers)
        begun, before = time.monotonic(), api.view(job).done
        api.reaches(job, 400 * workers)
        rates[workers] = (api.view(job).done - before) / (time.monotonic() - begun)
        api.end_of(job)
    fault = "two workers of one core each"
    ratio, two_cores = rates[2] / rates[1], two_of_one_core()
    figures(fault, Row("throughput", ratio, "x", 1.8, "higher", "of one worker's"))
    how = "of one core's, matrix products alone"
    figures(fault, Row("both cores at once", two_cores, "x", detail=how))
    assert ratio >= 0.9 * min(2.0, two_cores)


def two_of_one_core() -> float:
    """How much more this machine's two cores do together than one of them, in turn; the median."""
    return statistics.median(sum(products(0, 1)) / products(0)[0] for _ in range(3))


def products(*cores: int) -> list[int]:
    command = [sys.executable, "-c", PRODUCTS]
    started = [
        subprocess.Popen([*command, str(core)], stdout=subprocess.PIPE, text=True) for core in cores
    ]
    return [int(process.communicate(timeout=60)[0]) for process in started]
