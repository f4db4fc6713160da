"""A worker's sign of life says what it is at, and what it has done."""

from beholder.jobs.workers import live_workers
from worker.heartbeat import Heartbeat


def test_a_heartbeat_counts_chunks_and_their_seconds(bench):
    heartbeat = Heartbeat(bench.db, "host-1", "cpu")
    with heartbeat.working(7):
        heartbeat.beat()
        (busy,) = live_workers(bench.db, within_s=5)
    heartbeat.beat()
    (idle,) = live_workers(bench.db, within_s=5)
    assert (busy.name, busy.chunk_id, busy.chunks) == ("host-1", 7, 0)
    assert (idle.chunk_id, idle.chunks, idle.gpu_bytes) == (None, 1, None)
    assert idle.chunk_seconds > 0
    assert idle.seen_at > busy.seen_at
