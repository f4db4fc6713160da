import os
from pathlib import Path

import pytest
from redis.connection import parse_url as parse_redis_url
from sqlalchemy import make_url

from beholder.errors import InvalidInput
from beholder.jobs.silence import Running, Silence
from beholder.settings import Settings, read_settings, unknown_settings


def test_nothing_set_means_everything_in_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEHOLDER_HOME", str(tmp_path))
    settings = Settings()
    assert settings.database == f"sqlite:///{tmp_path}/beholder.db"
    assert settings.broker == f"redis+socket://{settings.redis_socket}"
    assert settings.store == str(tmp_path / "store")


def test_each_part_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEHOLDER_DATABASE_URL", "postgresql://db/beholder")
    monkeypatch.setenv("BEHOLDER_REDIS_URL", "redis://queue/0")
    monkeypatch.setenv("BEHOLDER_STORE_URL", "s3://bucket")
    settings = Settings()
    assert (settings.database, settings.broker, settings.store) == (
        "postgresql://db/beholder",
        "redis://queue/0",
        "s3://bucket",
    )


def test_one_look_is_never_enough_to_take_a_worker_for_dead() -> None:
    assert Settings().look_s == 6
    rare = Settings(lease_s=10, sweep_s=60)
    silence = Silence(rare.lease_s, rare.look_s)
    held = Running(1, "job", "w", "token", 0.0)
    looks = [silence.abandoned([held], now) for now in (0, 3600, 3660)]
    assert looks == [[], [], [held]]


def test_a_long_home_still_gives_a_path_that_a_socket_can_have(tmp_path: Path) -> None:
    long = Settings(home=tmp_path / ("x" * 200))
    assert len(str(long.redis_socket).encode()) <= 107
    assert long.redis_socket != Settings(home=tmp_path / ("y" * 200)).redis_socket
    assert Settings(home=Path("/data")).redis_socket == Path("/data/redis.sock")


@pytest.mark.parametrize("password", ["plain", "s/l@sh:col%on?#&+ ", "ключ"])
def test_a_password_from_a_file_becomes_part_of_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    for kind, url in (("DATABASE", "postgresql://u@db:5433/beholder"), ("REDIS", "redis://q:1/0")):
        (tmp_path / kind).write_text(f"{password}\n")
        monkeypatch.setenv(f"BEHOLDER_{kind}_URL", url)
        monkeypatch.setenv(f"BEHOLDER_{kind}_PASSWORD_FILE", str(tmp_path / kind))
    settings = read_settings()
    database, queue = make_url(settings.database), parse_redis_url(settings.broker)
    stripped = password.strip()
    assert (database.username, database.password) == ("u", stripped)
    assert (database.host, database.port, database.database) == ("db", 5433, "beholder")
    assert queue["password"] == stripped
    assert (queue["host"], queue["port"], queue["db"]) == ("q", 1, 0)
    assert stripped not in repr(settings) + str(settings)


def test_any_setting_may_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("api_port", "81\n"), ("api_tokens", f"ada:read:{'0' * 64}")):
        (tmp_path / name).write_text(text)
        monkeypatch.setenv(f"BEHOLDER_{name.upper()}_FILE", str(tmp_path / name))
    settings = read_settings()
    assert settings.api_port == 81
    assert settings.api_tokens.get_secret_value() == f"ada:read:{'0' * 64}"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"API_PORT": "x"}, "BEHOLDER_API_PORT: "),
        ({"LOG": "xml"}, "BEHOLDER_LOG: "),
        ({"RETENTION_DAYS": "1000000"}, "BEHOLDER_RETENTION_DAYS: Input should be less than"),
        ({"RETENTION_DAYS": "inf"}, "BEHOLDER_RETENTION_DAYS: "),
        ({"RETENTION_DAYS": "nan"}, "BEHOLDER_RETENTION_DAYS: "),
        ({"LEASE_S": "inf"}, "BEHOLDER_LEASE_S: Input should be less than or equal to 2592000"),
        ({"HANG_S": "1e12"}, "BEHOLDER_HANG_S: "),
        ({"SWEEP_S": "inf"}, "BEHOLDER_SWEEP_S: "),
        ({"CHECKPOINT_S": "inf"}, "BEHOLDER_CHECKPOINT_S: "),
        ({"API_PORT_FILE": "nowhere"}, "BEHOLDER_API_PORT_FILE names nowhere"),
        ({"API_TOKENS": "", "API_TOKENS_FILE": "x"}, "BEHOLDER_API_TOKENS_FILE are both set"),
        ({"NETWORK_FILE": os.devnull}, "which is empty"),
        ({"DATABASE_PASSWORD": "gEheim"}, "BEHOLDER_DATABASE_PASSWORD needs a BEHOLDER_DATABASE"),
        (
            {"DATABASE_PASSWORD": "gEheim", "DATABASE_URL": "postgresql://u:gEheim@h/x"},
            "without a password",
        ),
    ],
)
def test_what_can_not_be_read_is_one_line(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], said: str
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(f"BEHOLDER_{name}", value)
    with pytest.raises(InvalidInput) as caught:
        _ = read_settings().database
    assert said in str(caught.value)
    assert "gEheim" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_misspelt_is_named_with_what_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in os.environ if one.startswith("BEHOLDER_")]:
        monkeypatch.delenv(name)
    known = (
        "RETENTION_DAYS", "REDIS_PASSWORD_FILE", "SERVER", "TOKEN_FILE", "VERSION", "PUBLISH",
        "SERVICE_HOST", "API_SERVICE_PORT_HTTP", "API_PORT", "PORT_8321_TCP_ADDR",
    )  # fmt: skip
    for name in known:
        monkeypatch.setenv(f"BEHOLDER_{name}", "3")
    assert unknown_settings() == []
    monkeypatch.setenv("BEHOLDER_RETENTION_DAY", "3")
    monkeypatch.setenv("BEHOLDER_ZZZ", "3")
    assert unknown_settings() == [
        "BEHOLDER_RETENTION_DAY is no setting, and nothing reads it: "
        "did you mean BEHOLDER_RETENTION_DAYS?",
        "BEHOLDER_ZZZ is no setting, and nothing reads it.",
    ]
