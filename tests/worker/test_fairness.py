"""Jobs take turns by batches, also where a batch has room for many chunks of one job."""

import pytest

from worker.rooms import Rooms

CHUNK = 8  # pictures, as where they are of 224 pixels
ROOM = 8 * CHUNK  # as on a GPU


@pytest.mark.slow
def test_a_small_job_is_next_after_the_batch_in_hand_and_the_one_ahead(
    bench, spec, draw, during, monkeypatch
):
    monkeypatch.setattr(Rooms, "room", lambda *_: ROOM)
    spec = spec.model_copy(update={"size": 48, "steps": 1})
    huge = bench.submit(spec, [bench.entry(draw(0))] * (4 * ROOM), chunk_size=CHUNK)
    runner = bench.runner()
    small = []

    def come():
        bench.until(lambda: runner.claimed == 16)  # eight in hand, eight ahead
        small.append(bench.submit(spec, [bench.entry(draw(1))], chunk_size=CHUNK))

    sizes = during(come)
    runner.run()
    assert bench.states([huge, *small]) == ["done", "done"]
    # Its own picture, and as other jobs' turns come, a chunk of each.
    assert sizes[:3] == [ROOM, ROOM, 1 + CHUNK]
