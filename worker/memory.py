"""Whose memory it is: what a batch could have, what other programs hold, where there was none."""

from pathlib import Path

import torch

HOST = torch.device("cpu")
# How torch puts it where it raises no error of its own: on the host, and in CUDA's libraries.
_HOST_WORDS = ("DefaultCPUAllocator: can't allocate memory",)
_CUDA_WORDS = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
_NEVER_TOO_MUCH = "2"  # as vm.overcommit_memory: the kernel promises no more than it has


def keep_to(share: float, device: torch.device) -> None:
    """From now on torch refuses this process more of a GPU's memory than its share."""
    if device.type == "cuda" and share < 1:
        torch.cuda.set_per_process_memory_fraction(share, numbered(device))


def numbered(device: torch.device) -> torch.device:
    """A GPU with its index, without which a call of torch's that changes one is refused."""
    return torch.device(device.type, device.index or 0)


def free_bytes(device: torch.device, share: float = 1.0) -> int:
    """GPU memory that a batch could have: free on the device, or cached by torch.

    share: how much of the device this process may hold.
    """
    free, total = torch.cuda.mem_get_info(device)
    reserved = torch.cuda.memory_reserved(device)
    cached = reserved - torch.cuda.memory_allocated(device)
    return int(min(free, max(0.0, total * share - reserved)) + cached)


def share_of_others(device: torch.device, share: float = 1.0) -> float:
    """How much of a device's memory, or of this process's `share` of it, others hold, from 0 to 1.

    What CUDA itself takes for this process counts as theirs: a few hundred MiB. Of the host's
    memory, where it is promised beyond what there is, as usual, nobody takes anything: what is
    refused there would not fit into the whole of it.
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        theirs = total - free - torch.cuda.memory_reserved(device)
        return float(max(0.0, theirs - total * (1 - share)) / (total * share))
    try:
        if Path("/proc/sys/vm/overcommit_memory").read_text().strip() != _NEVER_TOO_MUCH:
            return 0.0
        machine = _kilobytes(Path("/proc/meminfo"))
        mine = _kilobytes(Path("/proc/self/status"))["VmData"]
        return max(0, machine["Committed_AS"] - mine) / machine["CommitLimit"]
    except (OSError, KeyError):
        return 0.0


def lacking(error: Exception, device: torch.device) -> torch.device | None:
    """Whose memory was all that was missing, `device`'s or the host's; None for another error."""
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError) or any(words in text for words in _CUDA_WORDS):
        return device
    if isinstance(error, MemoryError) or any(words in text for words in _HOST_WORDS):
        return HOST
    return None


def _kilobytes(path: Path) -> dict[str, int]:
    """The figures in a file of lines such as "VmData:   1234 kB"."""
    rows = (line.split() for line in path.read_text().splitlines() if line.endswith(" kB"))
    return {name.rstrip(":"): int(number) for name, number, _ in rows}
