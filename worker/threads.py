"""Threads for pictures: decoding and encoding, beside the device or in turn with it."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, ParamSpec, TypeVar

import torch

PICTURE_THREADS = max(4, os.cpu_count() or 1)  # 4: a store on the network has to be waited for
Given = ParamSpec("Given")
Result = TypeVar("Result")


class PictureThreads(ThreadPoolExecutor):
    """Runs what is done with pictures off the device.

    turns: whether the device's arithmetic runs on the same cores. Each of its parallel sections
    ends when the last of its threads does, so that one which is interrupted holds up all: there
    the device waits until `settle` returns, and the next batch's pictures until it is through.
    """

    def __init__(self, *, turns: bool) -> None:
        # Each thread would have a team of torch's own, all on the same cores.
        super().__init__(PICTURE_THREADS, "pictures", torch.set_num_threads, (1,))
        self.turns = turns
        self._in_hand: set[Future[Any]] = set()

    def submit(
        self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        """As any executor's."""
        future = super().submit(fn, *args, **kwargs)
        if self.turns:
            self._in_hand.add(future)
            future.add_done_callback(self._in_hand.discard)
        return future

    def settle(self) -> None:
        """Wait until what was submitted so far is done; at once where there are no turns."""
        wait(self._in_hand.copy())
