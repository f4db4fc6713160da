"""Waiting for many slow answers at once, in order and in constant memory: `ahead`."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

_DEPTH = 64
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


def ahead(
    threads: Executor,
    ask: Callable[[Asked], Answer],
    asked: Iterable[Asked],
    *,
    depth: int = _DEPTH,
) -> Iterator[tuple[Asked, Answer]]:
    """Each of `asked` with its answer, while up to `depth` of those behind it are worked on."""
    waiting: deque[tuple[Asked, Future[Answer]]] = deque()
    try:
        for one in asked:
            waiting.append((one, threads.submit(ask, one)))
            if len(waiting) > depth:
                first, answer = waiting.popleft()
                yield first, answer.result()
        while waiting:
            first, answer = waiting.popleft()
            yield first, answer.result()
    finally:
        for _, unwanted in waiting:
            unwanted.cancel()
