from pathlib import Path

import pytest

from beholder.jobs.silence import Running, Silence
from beholder.settings import Settings


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
