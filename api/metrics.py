"""`/metrics`: the numbers of `beholder.jobs.measures` in Prometheus' text form."""

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.services import Services
from beholder.alive import Locks
from beholder.devices import CLASSES
from beholder.jobs.fleet import STATES, FleetView, fleet
from beholder.jobs.measures import Measures, measures

WORKERS_WITHIN_S = 60.0


def exposition(opened: Services) -> bytes:
    """The metrics as of now."""
    is_dead = Locks(opened.settings.home).is_dead
    found = measures(opened.db, workers_within_s=WORKERS_WITHIN_S, is_dead=is_dead)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(found, fleet(opened.db, is_dead=is_dead)))
    return generate_latest(registry)


class _Collected(Collector):
    def __init__(self, found: Measures, workers: Sequence[FleetView]) -> None:
        self._found, self._fleet = found, workers

    def collect(self) -> Iterator[Metric]:
        found = self._found
        yield _by_state("beholder_jobs", "Jobs by state", found.jobs)
        yield _by_state("beholder_items", "Items by state", found.items)
        for name, text, value in (
            ("beholder_queued_chunks", "Chunks that wait", found.queued_chunks),
            ("beholder_queue_age_seconds", "Age of the oldest queued chunk", found.queue_age_s),
            ("beholder_workers", "Workers heard of lately", len(found.workers)),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        yield from _of_pending(found)
        yield from _of_workers(found)
        yield _of_states(self._fleet)


def _by_state(name: str, text: str, counts: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["state"])
    for state, count in counts.items():
        family.add_metric([state], count)
    return family


def _of_pending(found: Measures) -> Iterator[Metric]:
    """For autoscalers. device: what jobs ask for; "any" is for workers of either class."""
    items = GaugeMetricFamily(
        "beholder_pending_items", "Items that no worker has begun", labels=["device"]
    )
    unfinished = GaugeMetricFamily(
        "beholder_open_items", "Items that wait or run", labels=["device"]
    )
    oldest = GaugeMetricFamily(
        "beholder_oldest_pending_seconds", "For how long the first waits", labels=["device"]
    )
    for device, pending in found.pending.items():
        items.add_metric([device], pending.items)
        unfinished.add_metric([device], pending.items + pending.running)
        oldest.add_metric([device], pending.oldest_s)
    yield from (items, unfinished, oldest)


def _of_states(workers: Sequence[FleetView]) -> Metric:
    family = GaugeMetricFamily(
        "beholder_fleet", "Workers by device and state", labels=["device", "state"]
    )
    counts = Counter((worker.device_class, worker.state) for worker in workers)
    for device in CLASSES:
        for state in STATES:
            family.add_metric([device, state], counts[device, state])
    return family


def _of_workers(found: Measures) -> Iterator[Metric]:
    chunks = CounterMetricFamily("beholder_chunks", "Chunks run by a worker", labels=["worker"])
    seconds = CounterMetricFamily(
        "beholder_chunk_seconds", "Seconds that a worker spent on its chunks", labels=["worker"]
    )
    items = CounterMetricFamily(
        "beholder_worker_items", "Items that a worker brought to their end", labels=["worker"]
    )
    memory = GaugeMetricFamily(
        "beholder_gpu_memory_bytes", "GPU memory that a worker holds", labels=["worker"]
    )
    for worker in found.workers:
        chunks.add_metric([worker.name], worker.chunks)
        seconds.add_metric([worker.name], worker.chunk_seconds)
        items.add_metric([worker.name], worker.items)
        if worker.gpu_bytes is not None:
            memory.add_metric([worker.name], worker.gpu_bytes)
    yield from (chunks, seconds, items, memory)
