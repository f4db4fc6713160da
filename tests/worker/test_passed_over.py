"""What a worker passes over it looks at again after a while."""

import time

import pytest

from worker.passed_over import RETRY_S, PassedOver


def test_a_job_is_passed_over_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    passed = PassedOver()
    assert (passed.jobs, passed.reason) == (frozenset(), None)
    passed.add("a", "no weights.")
    now += RETRY_S / 2
    passed.add("b", "other weights.")
    assert passed.jobs == {"a", "b"}
    assert passed.reason == "no weights."
    now += RETRY_S / 2
    assert (passed.jobs, passed.reason) == ({"b"}, "other weights.")
    passed.add("b", "still other weights.")
    now += RETRY_S - 1
    assert (passed.jobs, passed.reason) == ({"b"}, "still other weights.")
