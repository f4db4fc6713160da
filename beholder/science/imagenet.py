"""The file of VGG19's ImageNet weights: `imagenet_file` finds it, or downloads it once.

No torch is needed, so that a command can fetch it with a progress bar before a worker wants it.
"""

from collections.abc import Callable
from pathlib import Path

from beholder.errors import NetworkUnavailable
from beholder.networks import VGG19_FILE
from beholder.science.download import Unreachable, fetch, sha256_of

# torchvision's VGG19_Weights.IMAGENET1K_V1; a test holds them equal.
FILE = VGG19_FILE
URL = f"https://download.pytorch.org/models/{FILE}"
HASH_PREFIX = "dcbb9e9d"  # how the file's SHA-256 begins
_TIMEOUT_S = 15.0


def imagenet_file(
    folder: Path, *, progress: bool = False, look: Callable[[], object] | None = None
) -> Path:
    """Where the weights are in `folder`, fetched first if they are not there; their hash is right.

    progress: draw the download on stderr. look: as for `fetch`. Raises NetworkUnavailable, with the
    ways out, and StorageFull.
    """
    path = folder / FILE
    if not path.is_file():
        try:
            fetch(
                URL,
                path,
                hash_prefix=HASH_PREFIX,
                progress=progress,
                timeout_s=_TIMEOUT_S,
                look=look,
            )
        except Unreachable as error:
            raise NetworkUnavailable(_offline(path, error)) from None
    elif not sha256_of(path).startswith(HASH_PREFIX):
        raise NetworkUnavailable(
            f"{path} is damaged (its SHA-256 does not begin with {HASH_PREFIX}): delete it, and it "
            "will be downloaded again."
        )
    return path


def _offline(path: Path, error: Unreachable) -> str:
    return (
        f"vgg19's weights are not here and can't be downloaded ({error}). Three ways out: "
        f"(1) connect this machine once, and beholder downloads 548 MB; (2) put {path.name} from "
        f"another machine into {path.parent}, or pass its path as --network; (3) use "
        "--network specimens, which is built in."
    )
