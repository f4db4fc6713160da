import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from beholder.budget import Budget


def test_never_more_than_there_is_is_taken_at_a_time() -> None:
    budget, lock = Budget(10), threading.Lock()
    taken = most = 0

    def work(amount: int) -> None:
        nonlocal taken, most
        with budget.taken(amount):
            with lock:
                taken += amount
                most = max(most, taken)
            time.sleep(0.001)
            with lock:
                taken -= amount

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, [1, 7, 3, 4, 10, 2] * 20))
    assert (taken, most) == (0, 10)


def test_what_is_larger_than_all_of_it_goes_alone() -> None:
    budget, entered = Budget(10), threading.Event()

    def small() -> None:
        with budget.taken(1):
            entered.set()

    with budget.taken(1_000):
        thread = threading.Thread(target=small)
        thread.start()
        assert not entered.wait(0.05)
    thread.join(5)
    assert entered.is_set()


def test_small_ones_do_not_pass_a_large_one_that_waits() -> None:
    budget, order = Budget(10), list[str]()
    waiting = threading.Event()

    def take(name: str, amount: int) -> None:
        waiting.set()
        with budget.taken(amount):
            order.append(name)

    threads = []
    with budget.taken(5):
        for name, amount in (("large", 10), ("small", 1)):
            waiting.clear()
            threads.append(threading.Thread(target=take, args=(name, amount)))
            threads[-1].start()
            assert waiting.wait(5)
            time.sleep(0.05)  # into its wait
        assert order == []
    for thread in threads:
        thread.join(5)
    assert order == ["large", "small"]


def test_what_fails_gives_back_what_it_took() -> None:
    budget = Budget(1)

    def fail() -> None:
        for _ in range(3):
            with pytest.raises(ValueError, match="no"), budget.taken(1):
                raise ValueError("no")

    thread = threading.Thread(target=fail, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
