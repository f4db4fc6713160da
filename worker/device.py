"""Whether the device that the workers are to use is there: `insist_on_device`."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def insist_on_device(name: str) -> None:
    """Raise InvalidSpec where there is none of this name.

    Asks in a process of its own: CUDA, once it was asked, would not start in forked children.
    """
    if name in ("auto", "cpu"):
        return
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        process.submit(_find, name).result()


def _find(name: str) -> None:
    from beholder.science.networks import find_device

    find_device(name)
