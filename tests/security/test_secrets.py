"""No secret in errors, logs, process lists, answers or metrics; and who may read what here."""

import hmac
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from api.problems import sentence
from api.schemas import NewDream, make_job, read_job
from beholder.errors import BeholderError, InvalidInput, ServiceUnavailable
from beholder.jobs.database import Database
from beholder.jobs.schema import create_if_empty, upgrade
from beholder.private_redis import redis_program, wait_until_ready
from beholder.settings import Settings
from beholder.store import Store
from beholder.tokens import Tokens, make_token
from beholder.upkeep import backup
from worker.app import make_app
from worker.queue import Queue

SECRET = "gEheim"

DATABASES = [
    f"postgresql://u:{SECRET}@127.0.0.1:1/x",
    f"postgresql://u:{SECRET}@127.0.0.1:99999/x",
    f"postgresql://u:{SECRET}@[::1/x",
    f"postgresql://127.0.0.1:1/x?password={SECRET}",
    f"mysql://u:{SECRET}@h/x",
]
QUEUES = [
    f"redis://u:{SECRET}@127.0.0.1:1/0",
    f"redis://:{SECRET}@127.0.0.1:no/0",
    f"redis://:a/{SECRET}@127.0.0.1:1/0",
    f"rediss://:{SECRET}@127.0.0.1:1/0",
    f"amqp://u:{SECRET}@h",
]
STORES = [
    f"s3://key:{SECRET}@bucket/x",
    f"nosuch://u:{SECRET}@h/x",
    f"ftp://u:{SECRET}@127.0.0.1:1/",
]


def run(*arguments, **env):
    """A command to its end: all that it says."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("BEHOLDER")}
    command = [sys.executable, "-m", *arguments]
    ended = subprocess.run(
        command, env=plain | env, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("url", DATABASES)
def test_a_database_that_does_not_answer(url):
    with pytest.raises(BeholderError) as caught, Database.open(url).read() as session:
        session.connection()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", QUEUES)
def test_a_queue_that_does_not_answer(url):
    def ask():
        app = make_app(url)
        app.conf.broker_transport_options["max_retries"] = 0  # else it tries for two seconds
        Queue(app).length()

    with pytest.raises(BeholderError) as caught:
        ask()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", STORES)
def test_a_store_that_can_not_be_opened(url):
    with pytest.raises(BeholderError) as caught:
        Store.open(url).exists("pictures")
    assert SECRET not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "url"), [("DATABASE", DATABASES[0]), ("REDIS", QUEUES[0]), ("STORE", STORES[0])]
)
def test_doctor_shows_no_password(kind, url, tmp_path):
    env = {"BEHOLDER_HOME": str(tmp_path / "home"), f"BEHOLDER_{kind}_URL": url}
    said = run("cli", "doctor", "--json", **env)
    assert SECRET not in said
    assert "Traceback" not in said


def test_a_statement_in_a_log_has_no_values(tmp_path):
    create_if_empty(url := f"sqlite:///{tmp_path / 'beholder.db'}")
    statement = "INSERT INTO jobs (id) VALUES (?)"  # breaks a constraint: a mistake in the code
    with (
        pytest.raises(IntegrityError, match="hidden due to hide_parameters") as caught,
        Database.open(url).write() as session,
    ):
        session.connection().exec_driver_sql(statement, (SECRET,))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        {"webhook": {"url": "https://h/", "secret": SECRET + "\n"}},
        {"webhook": {"url": f"ftp://u:{SECRET}@h/"}},
        {"webhook": {"url": "https://h/", "secret": SECRET * 100}},
        {"webhook": {"url": "https://h/", "secrets": SECRET}},
        {"webhook": f"https://u:{SECRET}@h/"},
        {"webhook": SECRET},
        {"webhooks": f"https://u:{SECRET}@h/"},
        {"secret": SECRET},
        SECRET,
    ],
)
def test_an_answer_repeats_no_secret(body):
    text = json.dumps(body)
    for sent in (text.encode(), text[:-1].encode()):  # cut short, it is no JSON
        with pytest.raises(InvalidInput) as caught:
            read_job(NewDream, sent)
        assert SECRET not in str(caught.value)
    if isinstance(body, dict):
        with pytest.raises(InvalidInput) as caught:
            make_job(NewDream, body)
        assert SECRET not in str(caught.value)


def test_a_tokens_form_repeats_no_token():
    detail = {"loc": ("body", "token"), "msg": "Too long", "input": SECRET, "type": "x"}
    assert SECRET not in sentence([detail])


def test_settings_show_no_tokens():
    token, entry = make_token("ada", "admin")
    settings = Settings(api_tokens=entry)
    assert entry.rpartition(":")[2] not in repr(settings) + str(settings.model_dump())
    assert token not in entry


def test_tokens_are_compared_in_constant_time(monkeypatch):
    """By `compare_digest`, and all of them, whichever it is."""
    made = [make_token(name, "read") for name in ("a", "b", "c")]
    tokens = Tokens(",".join(entry for _, entry in made))
    compared = []
    whole = hmac.compare_digest
    monkeypatch.setattr(
        "beholder.tokens.hmac.compare_digest", lambda a, b: compared.append(a) or whole(a, b)
    )
    for token in [made[0][0], made[2][0], "bhd_wrong", ""]:
        compared.clear()
        tokens.caller(token)
        assert compared == [entry.rpartition(":")[2] for _, entry in made]
        assert all(len(one) == 64 for one in compared)  # hashes: no token's length shows


@pytest.fixture
def open_umask():
    """Everybody may read what this process makes, unless it takes care."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize("make", [create_if_empty, upgrade])
@pytest.mark.parametrize("linked", [False, True])
def test_the_database_is_its_owners_alone(tmp_path, open_umask, make, linked):
    path = tmp_path / "home" / "beholder.db"
    if linked:
        (tmp_path / "link.db").symlink_to(path)
        path.parent.mkdir(mode=0o700)
    make(f"sqlite:///{tmp_path / 'link.db' if linked else path}")
    with Database.open(f"sqlite:///{path}").write():
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_its_backup_is_too(tmp_path, open_umask, monkeypatch):
    create_if_empty(url := f"sqlite:///{tmp_path / 'beholder.db'}")
    modes = []
    copy = backup._copy

    def looking(source, target):
        copy(source, target)
        modes.append(stat.S_IMODE(target.stat().st_mode))

    monkeypatch.setattr(backup, "_copy", looking)
    backup.back_up(url, tmp_path / "copy.db")
    assert [*modes, stat.S_IMODE((tmp_path / "copy.db").stat().st_mode)] == [0o600, 0o600]


@pytest.fixture
def private(tmp_path):
    """The private Redis as `beholder up` starts it: (its process id, its socket)."""
    home = tmp_path / "home"
    path = home / "redis.sock"
    program = redis_program(path, home / "redis", log=home / "redis.log", env={})
    process = subprocess.Popen(program.command, stdout=subprocess.DEVNULL)
    try:
        wait_until_ready(path)
        yield process.pid, path
    finally:
        process.kill()
        process.wait()


def test_the_private_redis_listens_on_its_socket_alone(private):
    pid, path = private
    mode = path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((path.parent / "redis").stat().st_mode) == 0o700
    held = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
    inodes = {name[8:-1] for name in held if name.startswith("socket:[")}
    assert inodes
    for table in ("tcp", "tcp6", "udp", "udp6"):
        rows = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        assert not inodes & {row.split()[9] for row in rows}


@pytest.mark.parametrize("mode", [0o777, 0o702, 0o770, 0o2775])
def test_a_folder_that_others_may_write_is_refused(tmp_path, mode):
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(mode)
    with pytest.raises(ServiceUnavailable, match="others may write into"):
        redis_program(home / "redis.sock", home / "redis", log=home / "log", env={})
