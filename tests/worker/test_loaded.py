"""A worker that changes networks has one of them in memory at a time."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from beholder.science.networks import Network, load_network
from beholder.specs import DreamSpec

pytestmark = pytest.mark.slow  # imports torch


def test_a_network_leaves_before_the_next_is_loaded(
    bench: Any,
    network: str,
    draw: Callable[..., bytes],
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(open(network, "rb").read())  # noqa: SIM115
    loaded: list[weakref.ref[nn.Module]] = []
    in_memory: list[int] = []

    def load(*arguments: Any, **options: Any) -> Network:
        gc.collect()
        in_memory.append(sum(module() is not None for module in loaded))
        found = load_network(*arguments, **options)
        loaded.append(weakref.ref(found.module))
        return found

    monkeypatch.setattr("worker.loaded.load_network", load)
    specs = [
        DreamSpec(network=name, size="keep", layers=(5,), steps=2)
        for name in (network, str(other), network)
    ]
    jobs = [bench.submit(spec, [bench.entry(draw(1))]) for spec in specs]
    # The last two share a load.
    jobs.append(bench.submit(specs[-1], [bench.entry(draw(2))]))
    assert bench.runner().run() == len(jobs)
    assert bench.states(jobs) == ["done"] * len(jobs)
    assert in_memory == [0, 0, 0]
