"""Text from outside, as databases and terminals take it: `plain`, `marked`, and jobs' names.

`job_name` is what a person asked for, folded and refused where it is too long; `cut_name` is made
of folders or pictures, of which nobody chose the length.
"""

import re

from beholder.errors import InvalidSpec

MAX_NAME = 200  # letters of a job's name
MARK = "\N{REPLACEMENT CHARACTER}"
# What a terminal would obey instead of showing it, and what no encoding has.
_UNSHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def plain(text: str) -> str:
    """Text without control characters; what stands for bytes that are no UTF-8 becomes marks."""
    if text.isprintable():  # which a lone surrogate is not
        return text.strip()
    decoded = "".join(MARK if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    return "".join(letter for letter in decoded if letter.isprintable()).strip()


def marked(text: str) -> str:
    """Text with marks for all that a terminal would not show; lines and tabs stay."""
    return _UNSHOWN.sub(MARK, text)


def folded(name: str) -> str:
    """A job's name as it is kept, and looked for: plain, with single spaces."""
    return " ".join(plain(" ".join(name.split())).split())


def job_name(name: str) -> str:
    """The same. Raises InvalidSpec for a name that is too long."""
    kept = folded(name)
    if len(kept) > MAX_NAME:
        raise InvalidSpec(f"name: {MAX_NAME} letters at most; got {len(kept):,}.")
    return kept


def cut_name(name: str, length: int = MAX_NAME) -> str:
    """The same of a name that nobody wrote, cut where it is longer."""
    kept = folded(name)
    return kept if len(kept) <= length else f"{kept[: length - 1].rstrip()}…"
