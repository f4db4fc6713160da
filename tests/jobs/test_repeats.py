"""A request that is repeated makes one job; its key means one content."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from beholder.errors import InvalidInput
from beholder.jobs.hooks import Hook
from beholder.jobs.queries import list_jobs
from beholder.jobs.repeats import Repeatable
from beholder.jobs.submit import create_job
from beholder.specs import DreamSpec

SPEC = DreamSpec.build(network="random:0")


def _create(desk, *, key="one", owner="", numbers=(0, 1), **options):
    entries = map(desk.entry, numbers)
    return create_job(desk.database, SPEC, entries, request=Repeatable(key, owner), **options)


@pytest.mark.slow
def test_fifty_at_once_make_one_job(desk):
    with ThreadPoolExecutor(10) as threads:
        created = list(threads.map(lambda _: _create(desk), range(50)))
    assert len({one.id for one in created}) == 1
    assert sorted(one.repeated for one in created) == [False] + 49 * [True]
    assert len({(one.total, one.failed, one.chunks) for one in created}) == 1
    assert len(list_jobs(desk.database)) == 1


@pytest.mark.parametrize(
    "other", [{"numbers": (0, 2)}, {"name": "another"}, {"hook": Hook("https://example.org/")}]
)
def test_other_content_under_the_same_key_is_refused(desk, other):
    first = _create(desk)
    with pytest.raises(InvalidInput, match=f"which made job {first.id}: choose a new key"):
        _create(desk, **other)


def test_two_owners_may_use_the_same_key(desk):
    assert _create(desk, owner="ada").id != _create(desk, owner="bob").id
