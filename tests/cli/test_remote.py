"""What a client does in another way than the server's machine, and what it leaves to that.

That commands do the same on both is what tests marked `both` show.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageStat

from beholder.jobs.queries import items
from cli.main import app
from tests.api.conftest import Server
from tests.cli.line import Line, submit

pytestmark = [pytest.mark.slow, pytest.mark.there]  # real servers; seconds in all

Beholder = Callable[..., Any]
Make = Callable[..., str]


def test_a_job_is_the_same_from_a_client_as_from_the_server_s_machine(
    beholder: Beholder, server: Server, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures / "broken.jpg").write_bytes(b"no picture")
    db = server.services.db
    wanted = ("study", "-r", "--dir", str(pictures), "--control", str(pictures / "more"))
    options = ("--network", "specimens", "--top", "7", "--priority", "low", "--device", "cpu")
    remote = beholder(*wanted, *options, "--json")
    monkeypatch.delenv("BEHOLDER_SERVER")
    monkeypatch.setenv("BEHOLDER_HOME", str(server.services.settings.home))
    local = beholder(*wanted, *options, "--json")
    rows = [json.loads(answer.out) for answer in (remote, local)]
    told = [
        [
            (item.position, item.source, item.role, item.group, item.picture_sha256, item.error)
            for item in items(db, row["id"])
        ]
        for row in rows
    ]
    assert told[0] == told[1]
    assert [error for *_, error in told[0] if error]
    for row in rows:
        del row["id"], row["created_at"]
    assert rows[0] == rows[1]
    assert (rows[0]["priority"], rows[0]["device"]) == ("low", "cpu")


def test_fetched_files_are_the_same_and_sheets_look_the_same(
    beholder: Beholder, server: Server, dream_job: Make, tmp_path: Path, monkeypatch: Any
) -> None:
    job = dream_job(failing=(1,), noise=1)
    assert beholder("fetch", job, "-o", str(tmp_path / "remote")).code == 0
    monkeypatch.delenv("BEHOLDER_SERVER")
    monkeypatch.setenv("BEHOLDER_HOME", str(server.services.settings.home))
    assert beholder("fetch", job, "-o", str(tmp_path / "local")).code == 0
    found = {path.relative_to(tmp_path / "local") for path in (tmp_path / "local").rglob("*.*")}
    assert found == {
        path.relative_to(tmp_path / "remote") for path in (tmp_path / "remote").rglob("*.*")
    }
    for name in found:
        pair = tmp_path / "remote" / name, tmp_path / "local" / name
        if name.parts[0] != "sheets":
            assert pair[0].read_bytes() == pair[1].read_bytes()
            continue
        with Image.open(pair[0]) as one, Image.open(pair[1]) as other:
            difference = ImageStat.Stat(ImageChops.difference(one, other)).mean
        assert max(difference) < 1  # of 255: copies of the starts are re-encoded


@pytest.mark.parametrize(
    "command",
    [
        ("up",),
        ("worker",),
        ("api",),
        ("demo",),
        ("db", "upgrade"),
        ("db", "backup", "copy.db"),
        ("verify",),
        ("gc",),
        ("networks", "--download"),
    ],
)
def test_commands_of_the_server_s_own_machine(
    beholder: Beholder, home: Path, command: tuple[str, ...], tmp_path: Path
) -> None:
    answer = beholder(*command)
    assert (answer.code, answer.out) == (2, "")
    assert "works on the disk of the machine that it runs on: run it on the server" in answer.err
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "home").exists()


def test_every_other_command_is_a_client_s(beholder: Beholder, line: Line, tmp_path: Path) -> None:
    """None opens a database on this machine: the data folder stays without one."""
    for command in ("jobs", "channels", "networks", "layers", "keep", "doctor"):
        assert beholder(command).code == 0
    for command in ("show", "watch", "cancel", "retry", "fetch", "film", "report", "features"):
        assert "no job 'nosuchjob'" in beholder(command, "nosuchjob").err
    assert "no job 'nosuchjob'" in beholder("overlap", "nosuchjob", "other").err
    assert "no study has measured" in beholder("channel", "29/100").err
    assert not (tmp_path / "home" / "beholder.db").exists()


def test_the_network_is_the_server_s_own_unless_one_is_named(
    beholder: Beholder, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEHOLDER_NETWORK", "random:7")  # this machine's
    assert json.loads(beholder("submit", "--noise", "1", "--json").out)["network"] == "vgg19"
    named = beholder("submit", "--noise", "1", "--network", "random:3", "--json")
    assert json.loads(named.out)["network"] == "random:3"
    refused = beholder("submit", "--noise", "1", "--network", "mine.pth")
    assert refused.code == 2
    assert "mine.pth would be a file of the server's" in refused.err


def test_names_that_need_quoting_find_their_job(
    beholder: Beholder, line: Line, folder: Path
) -> None:
    made = submit(beholder, folder, "--name", "a/b? ü & 100%")
    assert f"dream     {made.out.strip()}  a/b? ü & 100%" in beholder("show", "a/b? ü & 100%").out


def test_the_options_are_before_the_command() -> None:
    import typer

    root = typer.main.get_command(app)
    assert {"--server", "--token-file"} <= {word for one in root.params for word in one.opts}
