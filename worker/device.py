"""What the workers' device is: `find_class`, asked before any child starts."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from beholder.devices import DeviceClass, class_of, may_have_gpu


def find_class(name: str) -> DeviceClass:
    """The class of the device of this name. Raises InvalidSpec where there is none.

    Asks in a process of its own: CUDA, once it was asked, would not start in forked children.
    """
    if name == "cpu" or (name == "auto" and not may_have_gpu()):
        return "cpu"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return class_of(process.submit(_find, name).result())


def _find(name: str) -> str:
    from beholder.science.networks import find_device

    return str(find_device(name))
