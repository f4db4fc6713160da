"""What the workers' device is: `find_class`, asked before any child starts."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from beholder.devices import DeviceClass, class_of, may_have_gpu
from beholder.processes import die_with


def find_class(name: str) -> DeviceClass:
    """The class of the device of this name. Raises InvalidSpec where there is none.

    Asks in a process of its own: CUDA, once it was asked, would not start in forked children.
    """
    if name == "cpu" or (name == "auto" and not may_have_gpu()):
        return "cpu"
    # A parent that is killed meanwhile would leave it behind, with all of torch, for good.
    with ProcessPoolExecutor(1, get_context("spawn"), die_with, (os.getpid(),)) as process:
        return class_of(process.submit(_find, name).result())


def _find(name: str) -> str:
    from beholder.science.networks import find_device

    return str(find_device(name))
