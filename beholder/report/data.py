"""What the page carries for programs: the evidence as JSON, and raw logits that fit."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from beholder.evidence.document import Evidence
from beholder.layers import LAYERS

MAX_LOGITS = 3_000_000  # bytes in a page: some 400 pictures of 1,000 classes
_LAYERS = frozenset(layer.name for layer in LAYERS)
_LONGEST = 600  # letters of a value in the record's table


@dataclass(frozen=True)
class Embedded:
    """Text that may stand in a `<script>`. logits: the archive in base64; empty without it."""

    json: str
    logits: str


def embedded(evidence: Evidence, logits: bytes | None) -> Embedded:
    """The evidence as JSON that `Evidence` reads again, and the archive of its raw logits."""
    document = evidence.model_dump(mode="json")
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    # Inside a script nothing is escaped, so nothing may look like its end.
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return Embedded(safe, base64.b64encode(logits or b"").decode("ascii"))


def record_rows(record: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """The record as a table: names of names joined by dots, and values as text."""
    for name, value in record.items():
        here = path + (name if name in _LAYERS else name.replace("_", " "))
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
