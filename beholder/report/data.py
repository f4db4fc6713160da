"""What the page carries for programs: the evidence as JSON, its raw logits as far as they fit."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from beholder.evidence.document import Evidence

MAX_LOGITS = 400_000  # numbers in a page: 200 pictures of 1,000 classes, twice; some 3 MB
_DIGITS = 4  # decimals of a logit
_LONGEST = 600  # letters of a value in the record's table


@dataclass(frozen=True)
class Embedded:
    """JSON that may stand in a `<script>`. logits_of: how many pictures' raw logits are in it."""

    json: str
    logits_of: int
    pictures: int


def embedded(evidence: Evidence) -> Embedded:
    """The evidence as JSON that `Evidence` reads again; later pictures may lack their logits."""
    document = evidence.model_dump(mode="json")
    left, kept = MAX_LOGITS, 0
    for row in document["rows"]:
        size = sum(len(row[name] or ()) for name in ("intact_logits", "blinded_logits"))
        left -= size
        kept += bool(size) and left >= 0
        for name in ("intact_logits", "blinded_logits"):
            fits = left >= 0 and row[name] is not None
            row[name] = [round(logit, _DIGITS) for logit in row[name]] if fits else None
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    # Inside a script nothing is escaped, so nothing may look like its end.
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return Embedded(safe, kept, len(evidence.rows))


def record_rows(record: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """The record as a table: names of names joined by dots, and values as text."""
    for name, value in record.items():
        here = f"{path}{name}".replace("_", " ")
        if isinstance(value, Mapping) and value:
            yield from record_rows(value, f"{here}.")
        else:
            yield here, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple) and not any(isinstance(one, list | dict) for one in value):
        text = ", ".join(map(_text, value))
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    elif value is None or isinstance(value, str | int):
        text = "none" if value in (None, "") else str(value)
    else:
        text = f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… (whole in evidence.json)"
