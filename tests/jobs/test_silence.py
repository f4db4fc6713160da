"""Who is silent is judged by the clock of whoever looks, and by nothing that others wrote."""

from beholder.jobs.silence import Running, Silence


def running(chunk_id, *, lease_until=0.0, worker="w"):
    return Running(chunk_id, "job", worker, "token", lease_until)


def test_one_that_shows_no_sign_of_life_for_a_lease_is_abandoned():
    silence = Silence(lease_s=15, look_s=6)
    found = [silence.abandoned([running(1)], now) for now in (0, 5, 10, 14.9, 15)]
    assert found == [[], [], [], [], [running(1)]]


def test_any_change_of_the_lease_is_a_sign_of_life_even_into_the_past():
    silence = Silence(lease_s=15, look_s=6)
    leases = [5000.0, 5005.0, 1400.0, 1405.0, 1e12, 5.0]
    for number, lease_until in enumerate(leases):
        assert silence.abandoned([running(1, lease_until=lease_until)], 5.0 * number) == []


def test_time_in_which_nobody_could_look_does_not_count():
    silence = Silence(lease_s=15, look_s=6)
    silence.abandoned([running(1)], 0)
    assert silence.abandoned([running(1)], 3600) == []  # counts as 6
    assert silence.abandoned([running(1)], 3605) == []
    assert silence.abandoned([running(1)], 3610) == [running(1)]


def test_one_that_surely_ended_is_not_waited_for():
    silence = Silence(lease_s=15, look_s=6, is_dead=lambda worker: worker == "dead")
    both = [running(1, worker="dead"), running(2, worker="alive"), running(3, worker=None)]
    assert silence.abandoned(both, 0) == both[:1]


def test_what_ended_is_not_remembered():
    silence = Silence(lease_s=15, look_s=20)
    silence.abandoned([running(1)], 0)
    silence.abandoned([], 10)
    assert silence.abandoned([running(1)], 20) == []
