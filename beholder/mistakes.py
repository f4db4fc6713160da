"""Pydantic's words for what is wrong in ours: `mistake`."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


def mistake(detail: Any, known: Iterable[str] = ()) -> str:
    """One of a ValidationError's errors, without where it is and what was given.

    known: the fields that there are, of which one may have been meant.
    """
    if detail["type"] == "extra_forbidden":
        near = get_close_matches(str(detail["loc"][-1])[:40], list(known), n=1, cutoff=0.6)
        return "there is no such field" + (f"; did you mean {near[0]}?" if near else "")
    if detail["type"] == "value_error":
        return str(detail["msg"]).removeprefix("Value error, ")
    message = str(detail["msg"]).partition(", unable to ")[0]  # of what program in what type
    return message[:1].lower() + message[1:]
