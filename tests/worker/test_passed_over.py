"""What a worker passes over it looks at again after a while."""

import time

import pytest

from worker.passed_over import MOST_SAID, RETRY_S, PassedOver


def test_a_job_is_passed_over_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    passed = PassedOver()
    assert (passed.jobs, passed.reason) == (frozenset(), None)
    passed.add("a", "no weights.")
    now += RETRY_S / 2
    passed.add("b", "other weights.")
    assert passed.jobs == {"a", "b"}
    assert passed.reason == "no weights.\nother weights."
    now += RETRY_S / 2
    assert (passed.jobs, passed.reason) == ({"b"}, "other weights.")
    passed.add("b", "still other weights.")
    now += RETRY_S - 1
    assert (passed.jobs, passed.reason) == ({"b"}, "still other weights.")


def test_however_many_jobs_a_heartbeat_stays_short() -> None:
    passed = PassedOver()
    for number in range(2 * MOST_SAID):
        passed.add(str(number), f"leaves job {number} to others:\n" + "long " * 1_000)
    said = (passed.reason or "").splitlines()
    assert [line.split(":")[0] for line in said] == [
        f"leaves job {number} to others" for number in range(MOST_SAID)
    ]
    assert len(passed.reason or "") < 20_000
