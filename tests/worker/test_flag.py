import os
import signal

from worker.flag import SharedFlag


def test_children_see_it_and_may_be_killed_while_they_look() -> None:
    flag, seen = SharedFlag(), SharedFlag()
    for _ in range(5):
        child = os.fork()
        if child == 0:
            while not flag.is_set():
                seen.set()
            os._exit(0)
        while not seen.is_set():
            pass
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    child = os.fork()
    if child == 0:
        while not flag.is_set():
            pass
        os._exit(7)
    flag.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
