"""Pictures on their way into a job: `Entry`, and `Spool`, any number of them in constant memory.

A spool is a temporary file of JSON lines, read as often as needed and gone at the end.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from beholder.evidence.names import Role as Role
from beholder.temporary import no_room, temporary_room


@dataclass(frozen=True)
class StoredPicture:
    """A picture that is in the store. Width and height in pixels, as displayed."""

    sha256: str
    width: int
    height: int
    format: str
    bytes: int


@dataclass(frozen=True)
class Entry:
    """One thing to work on: a stored picture, a noise start (`seed`), or what could not be read.

    source: what to show people. error: why the picture could not be read; its items are created
    failed, with it as their reason.
    """

    source: str
    picture: StoredPicture | None
    seed: int | None = None
    role: Role | None = None
    group: str | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        if self.picture is None and self.seed is None and not self.error:
            raise ValueError(f"{self.source}: an entry has a picture, a seed or an error")


class Spool:
    """Entries in a temporary file: `add` them, then iterate. Counts per role ("dream": none).

    Raises StorageFull where there is no room for it, at the latest when it is first read.
    """

    def __init__(self) -> None:
        with temporary_room():
            self._file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - __exit__
        self._total: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._reason: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):  # what found no room is written again
            self._file.close()

    def add(self, entry: Entry, *, role: Role | None) -> None:
        """Keep an entry, with this role instead of its own."""
        part = role or "dream"
        self._total[part] += 1
        if entry.error:
            self._failed[part] += 1
            self._reason.setdefault(part, f"{entry.source}: {entry.error}")
        picture = entry.picture and vars(entry.picture)  # asdict() would take most of the time
        fields = {**vars(entry), "picture": picture, "role": role}
        try:
            self._file.write(json.dumps(fields) + "\n")
        except OSError as failure:
            raise no_room(failure) from None

    def of(self, part: str) -> tuple[int, int, str]:
        """Of a role (or "dream"): how many, how many of them usable, the first reason why not."""
        total = self._total[part]
        return total, total - self._failed[part], self._reason.get(part, "")

    @property
    def total(self) -> int:
        """How many entries there are."""
        return self._total.total()

    @property
    def failed(self) -> int:
        """How many of them could not be read."""
        return self._failed.total()

    def __iter__(self) -> Iterator[Entry]:
        """Every entry in the order added. One iteration at a time."""
        with temporary_room():
            self._file.seek(0)  # which writes what is left
        for line in self._file:
            fields: dict[str, Any] = json.loads(line)
            picture = fields.pop("picture")
            yield Entry(picture=StoredPicture(**picture) if picture else None, **fields)
