"""How much memory something takes at its peak: `grown_mib`.

Measured in a process of its own, since a process remembers only the highest that it ever had.
"""

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_SCRIPT = """
import re, resource, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from beholder import pictures
from beholder.budget import Budget
from beholder.errors import PictureError
from beholder.pictures import decode, decoded, peek

def kib(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

data = sys.stdin.buffer.read()
before = kib("VmRSS")
try:
    {act}
except PictureError as error:
    print(error)
children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print((kib("VmHWM") - before + children) / 1024)
"""


def grown_mib(act: str, data: bytes) -> float:
    """MiB that the statement `act` takes at its peak in a process that holds `data`.

    With that of the largest process that it starts. A PictureError is a way to end, too.
    """
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(act=act)],
        input=data,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        timeout=60,
        check=True,
    )
    return float(ended.stdout.split()[-1])
