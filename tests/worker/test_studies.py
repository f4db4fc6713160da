from collections.abc import Callable
from typing import Any

import pytest
import torch

from beholder.jobs.channel_queries import channels
from beholder.jobs.exemplar_queries import exemplars
from beholder.pictures import decode
from beholder.science.blind import before_and_after
from beholder.science.inputs import to_tensor
from beholder.science.measure import Measurement, measure
from beholder.science.networks import load_network
from beholder.science.statistics import ChannelStatistics, chosen_channels
from beholder.specs import StudySpec
from worker import studies

pytestmark = pytest.mark.slow  # imports torch


@pytest.fixture
def spec(network: str) -> StudySpec:
    return StudySpec(network=network, size=48, top=3, min_layer=12, most_common=2, threshold=3)


def test_a_study_is_what_science_finds(
    bench: Any, spec: StudySpec, draw: Callable[..., bytes]
) -> None:
    data = [draw(seed) for seed in range(9)]
    roles = ["target"] * 5 + ["control"] * 4
    entries = [bench.entry(one, role=role) for one, role in zip(data, roles, strict=True)]
    job = bench.run(bench.submit(spec, entries, chunk_size=2))
    assert (job.state, job.done, job.measured) == ("done", 9, 9)
    assert (job.target_pictures, job.control_pictures) == (5, 4)

    loaded = load_network(spec.network)
    pictures = torch.stack([to_tensor(decode(one), size=48) for one in data])
    target = ChannelStatistics.empty(loaded.widths, top=3)
    target.update([rows[:5] for rows in measure(loaded, pictures).strengths], range(5))
    chosen = chosen_channels(target, min_layer=12, most_common=2, threshold=3)
    assert chosen
    rows = list(channels(bench.db, study=job.id))
    assert len(rows) == sum(loaded.widths)
    assert {(row.layer, row.channel) for row in rows if row.chosen} == {
        (layer, channel) for layer, picked in chosen.items() for channel in picked
    }
    for row in rows:
        assert row.count == target.counts[row.layer][row.channel]
        assert row.mean == pytest.approx(target.mean(row.layer)[row.channel], rel=1e-4, abs=1e-7)
        assert row.control_mean is not None
    for item, (intact, blind) in zip(
        bench.items(job.id), before_and_after(loaded, pictures, chosen), strict=True
    ):
        for kind, expected in (("intact", intact), ("blinded", blind)):
            found = item.verdicts[kind]
            assert (found.label, found.class_index) == (expected.label, expected.index)
            assert found.confidence == pytest.approx(expected.confidence, rel=1e-4)
            assert len(found.top5) == 5
    # The measured statistics stay: a retry merges what it measures with them.
    assert {path.name for path in bench.results()} == {
        "control.npz",
        "strongest.npz",
        "tally.npz",
        "target.npz",
    }


def test_a_channels_strongest_pictures_are_kept(
    bench: Any, spec: StudySpec, draw: Callable[..., bytes]
) -> None:
    data = [draw(seed) for seed in range(6)]
    entries = [bench.entry(one, role="target") for one in data]
    job = bench.run(bench.submit(spec, entries, chunk_size=2))
    pictures = torch.stack([to_tensor(decode(one), size=48) for one in data])
    strengths = measure(load_network(spec.network), pictures).strengths[20]
    driven = int(strengths.sum(dim=0).argmax())
    expected = strengths[:, driven].sort(descending=True)
    for layer in (19, 20):  # a convolution's are its ReLU's
        found = exemplars(bench.db, layer=layer, channel=driven, studies=[job.id])
        assert [row.position for row in found] == expected.indices[: len(found)].tolist()
        assert [row.strength for row in found] == pytest.approx(
            expected.values[: len(found)].tolist(), rel=1e-4
        )


def test_without_controls(bench: Any, spec: StudySpec, draw: Callable[..., bytes]) -> None:
    job = bench.run(bench.submit(spec, [bench.entry(draw(seed)) for seed in range(3)]))
    assert job.state == "done"
    assert {row.control_mean for row in channels(bench.db, study=job.id)} == {None}


def test_a_broken_picture_fails_alone(
    bench: Any, spec: StudySpec, draw: Callable[..., bytes]
) -> None:
    entries = [bench.entry(draw(seed)) for seed in range(3)]
    entries.insert(1, bench.entry(draw(9)[:200], "cut.png"))
    job = bench.run(bench.submit(spec, entries, chunk_size=2))
    assert (job.state, job.done, job.failed, job.target_pictures) == ("done", 3, 1, 3)
    assert "damaged or cut short" in bench.items(job.id)[1].error


def test_nothing_but_broken_pictures(bench: Any, spec: StudySpec) -> None:
    job = bench.run(bench.submit(spec, [bench.entry(b"text", "text.png")]))
    assert job.state == "failed"
    assert "text.png" in job.error


def test_a_threshold_that_nothing_reaches_blinds_nothing(
    bench: Any, network: str, draw: Callable[..., bytes]
) -> None:
    spec = StudySpec(network=network, size=48, threshold=99)
    job = bench.run(bench.submit(spec, [bench.entry(draw(seed)) for seed in range(2)]))
    assert job.state == "done"
    for item in bench.items(job.id):
        assert item.verdicts["intact"].top5 == item.verdicts["blinded"].top5


def test_batches_are_counted_in_together_but_not_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, in their order; one that is more than is counted in at a time by itself."""
    monkeypatch.setattr(studies, "_AT_ONCE", 5)
    sizes, batches, first = [2, 2, 2, 3, 7, 1], [], 0
    for size in sizes:
        numbers = torch.arange(first, first + size, dtype=torch.float32)[:, None]
        items: Any = tuple(range(first, first + size))
        batches.append((items, Measurement((numbers, 10 * numbers), 100 * numbers)))
        first += size
    joined = list(studies._joined(batches))
    assert [len(items) for items, _ in joined] == [4, 5, 7, 1]
    assert [number for items, _ in joined for number in items] == list(range(first))
    for items, result in joined:
        numbers = torch.tensor(items, dtype=torch.float32)[:, None]
        assert torch.equal(result.strengths[0], numbers)
        assert torch.equal(result.strengths[1], 10 * numbers)
        assert torch.equal(result.logits, 100 * numbers)
