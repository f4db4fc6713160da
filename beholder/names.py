"""What result files are called: "kelpie1--35-relu5_4--ch17--step030.png".

`Names` is told every picture's source first, so that two pictures of one name get different files.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import PurePosixPath

from beholder.layers import LAYERS

MAX_STEM_BYTES = 100  # of 255 that file systems take, with room for what follows
MAX_CHANNELS_LENGTH = 60
_KEPT = frozenset("._-+=@,()")


def safe_stem(source: str) -> str:
    """The file name in `source` without its folder and suffix, fit for any file system."""
    stem = PurePosixPath(PurePosixPath(source).name).stem
    plain = unicodedata.normalize("NFC", stem)
    kept = "".join(letter if letter.isalnum() or letter in _KEPT else "_" for letter in plain)
    # No leading dot (hidden) or dash (read as an option); no more bytes than a name may have.
    short = kept.encode()[:MAX_STEM_BYTES].decode(errors="ignore")
    return short.strip(".-") or "picture"


def noise_stem(seed: int) -> str:
    """What a dream from noise is called: "noise-0007"."""
    return f"noise-{seed:04d}"


class Names:
    """File names of one job's pictures, unique whatever the pictures were called."""

    def __init__(self, stems: Iterable[str]) -> None:
        # Some file systems take A.png and a.png for one file.
        self._seen = Counter(stem.casefold() for stem in stems)

    def picture(self, stem: str, number: int) -> str:
        """The picture's name. `number`, its place in the job, tells namesakes apart.

        No stem has a tilde, so no other picture can have a name made up like this.
        """
        return f"{stem}~{number + 1:04d}" if self._seen[stem.casefold()] > 1 else stem


def result_name(
    picture: str,
    *,
    layer: int,
    channels: Sequence[int] | None,
    step: int,
    last_step: int,
    objective: str | None = None,
) -> str:
    """A dream's file name. Steps are padded so that names sort as the steps do."""
    width = max(3, len(str(last_step)))
    parts = [picture, f"{layer:02d}-{LAYERS[layer].name}"]
    if channels:
        parts.append(f"ch{channels_text(channels)}")
    if objective:
        parts.append(objective_text(objective))
    return "--".join([*parts, f"step{step:0{width}d}.png"])


def channels_text(channels: Sequence[int]) -> str:
    """Channels in short: "17", "3+17", "0-7+12", and with very many "0+2+4...and-120-more"."""
    text = ""
    written = 0
    for run in _runs(sorted(set(channels))):
        word = str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}"
        longer = f"{text}+{word}" if text else word
        if len(longer) > MAX_CHANNELS_LENGTH:
            return f"{text}+and-{len(set(channels)) - written}-more"
        text, written = longer, written + len(run)
    return text


def objective_text(objective: str) -> str:
    """An objective in short: "conv5_1_100+conv4_2_17x0.5"; a long one ends in a hash."""
    plain = objective.replace(" ", "").replace("*", "x").replace('"', "")
    text = "".join(letter if letter.isalnum() or letter in _KEPT else "_" for letter in plain)
    if len(text.encode()) <= MAX_CHANNELS_LENGTH:
        return text
    digest = hashlib.sha256(objective.encode()).hexdigest()[:8]
    start = text.encode()[: MAX_CHANNELS_LENGTH - 9].decode(errors="ignore")
    return f"{start.rstrip('-')}-{digest}"


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    """Consecutive numbers together: three and more, so that two stay "3+4"."""
    grouped = groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    runs = [[number for _, number in group] for _, group in grouped]
    return [
        part for run in runs for part in ([run] if len(run) > 2 else [[number] for number in run])
    ]
