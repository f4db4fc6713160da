"""Classes of devices: what a job may ask to run on, what a worker is; and what is in this machine.

Of GPUs only what can be told without torch, which takes seconds to import.
"""

import os
import re
from pathlib import Path
from typing import Literal

from beholder.errors import InvalidSpec

DeviceClass = Literal["gpu", "cpu"]  # of a worker
Device = Literal["any", "gpu", "cpu"]  # that a job asks for

CLASSES: tuple[DeviceClass, ...] = ("gpu", "cpu")
DEVICES: tuple[Device, ...] = ("any", "gpu", "cpu")
DEFAULT_DEVICE: Device = "any"
_NAME = re.compile(r"auto|(cpu|cuda|mps|xpu)(:\d+)?")


def class_of(device: str) -> DeviceClass:
    """Of a device as torch spells it: "cpu", "cuda", "cuda:1"."""
    return "cpu" if device.startswith("cpu") else "gpu"


def insist_on_name(device: str) -> None:
    """Raise InvalidSpec where no machine has a device of this name; torch is not asked."""
    if not _NAME.fullmatch(device):
        raise no_device(device)


def no_device(name: object) -> InvalidSpec:
    """What is said of a name that no device has."""
    return InvalidSpec(f"no device {name!r}: write auto, cpu, cuda or cuda:1.")


def open_to(device: DeviceClass) -> tuple[Device, ...]:
    """What a job may ask for to be run by a worker of this class."""
    return (DEFAULT_DEVICE, device)


def gpu_cards() -> list[str]:
    """This machine's GPUs, by the names of the driver's device files."""
    return sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))


def may_have_gpu() -> bool:
    """Whether to ask torch for one: NVIDIA's, AMD's, or Windows's under WSL."""
    return bool(gpu_cards()) or any(Path("/dev", name).exists() for name in ("kfd", "dxg"))


def worker_devices(device: str) -> list[str]:
    """What each worker of this machine is to run on, where one is asked to be on `device`.

    One for each GPU that CUDA shows, where no single one is named.
    """
    if device not in ("auto", "cuda"):
        return [device]
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = len(gpu_cards() if shown is None else [one for one in shown.split(",") if one.strip()])
    return [f"cuda:{number}" for number in range(count)] if count > 1 else [device]
