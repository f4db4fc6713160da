"""A worker's sign of life says what it is at, and what it has done."""

import time

import pytest

from beholder.jobs.workers import live_workers
from beholder.specs import DreamSpec
from worker.heartbeat import Heartbeat

pytestmark = pytest.mark.slow  # with real servers or files; seconds in all


def test_a_heartbeat_tells_chunks_and_their_seconds(bench):
    heartbeat = Heartbeat(bench.db, "host-1", "cpu")
    with heartbeat.working(7):
        heartbeat.beat(0)
        (busy,) = live_workers(bench.db, within_s=5)
    time.sleep(0.002)  # SQLite's clock has milliseconds
    heartbeat.beat(1)
    (idle,) = live_workers(bench.db, within_s=5)
    assert (busy.name, busy.chunk_id, busy.chunks) == ("host-1", 7, 0)
    assert (idle.chunk_id, idle.chunks, idle.gpu_bytes) == (None, 1, None)
    assert idle.chunk_seconds > 0
    assert idle.seen_at > busy.seen_at


def test_the_seconds_of_the_batch_in_hand_count(bench):
    """Else a worker would seem idle for as long as it works on one."""
    heartbeat, told = Heartbeat(bench.db, "host-1", "cpu"), []

    def tell() -> None:
        heartbeat.beat(0)
        told.append(live_workers(bench.db, within_s=5)[0].chunk_seconds)

    for _ in range(2):
        with heartbeat.working(7):
            tell()
            time.sleep(0.05)
            tell()
    tell()
    time.sleep(0.05)
    tell()
    first, then, again, later, idle, still = told
    assert 0 <= first < 0.05 <= then - first
    assert then <= again <= later - 0.05
    assert later <= idle == still


def test_what_passes_another_is_worked_on_meanwhile(bench):
    heartbeat, told = Heartbeat(bench.db, "host-1", "cpu"), []

    def tell() -> None:
        heartbeat.beat(0)
        told.append(live_workers(bench.db, within_s=5)[0])

    with heartbeat.working(7):
        tell()
        with heartbeat.working(8):
            time.sleep(0.05)
            tell()
        tell()
        time.sleep(0.05)
        tell()
    tell()
    assert [one.chunk_id for one in told] == [7, 8, 7, 7, None]
    assert told[0].since == told[2].since == told[3].since < told[1].since
    passing, again, later = (one.chunk_seconds for one in told[1:4])
    assert 0.05 <= passing <= again <= later - 0.05


def test_the_memory_is_that_of_the_workers_own_gpu(bench, monkeypatch):
    held = {"cuda:0": 1, "cuda:1": 2**30}
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda device: held[device])
    Heartbeat(bench.db, "host-1", "cuda:1").beat(0)
    assert live_workers(bench.db, within_s=5)[0].gpu_bytes is None  # it would start CUDA
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    for name, holds in (("cpu", None), ("cuda:1", 2**30)):
        Heartbeat(bench.db, "host-1", name).beat(0)
        assert live_workers(bench.db, within_s=5)[0].gpu_bytes == holds


def test_a_pause_is_over_once_there_is_work_again(bench):
    heartbeat = Heartbeat(bench.db, "host-1", "cpu", paused="no room left.")
    heartbeat.beat(0)
    assert live_workers(bench.db, within_s=5)[0].paused == "no room left."
    with heartbeat.working(7):
        heartbeat.beat(0)
        assert live_workers(bench.db, within_s=5)[0].paused is None


def test_who_has_signed_off_is_not_heard_of_again(bench):
    heartbeat, other = Heartbeat(bench.db, "host-1", "cpu"), Heartbeat(bench.db, "host-2", "cpu")
    for one in (heartbeat, other):
        one.beat(0)
    heartbeat.end()
    heartbeat.beat(1)  # as the sweep's thread may, which does not know yet
    assert [one.name for one in live_workers(bench.db, within_s=5)] == ["host-2"]


def test_bells_that_find_nothing_to_do_are_not_counted(bench, draw, network):
    spec = DreamSpec.build(network=network, size=32, layers=(20,), steps=1)
    bench.submit(spec, [bench.entry(draw(1))])
    runner = bench.runner()
    assert [runner.run() for _ in range(3)] == [1, 0, 0]
    assert runner.claimed == 1
