"""What `verify` finds: `Finding`, one line of what is wrong, where, and how to mend it."""

from dataclasses import dataclass
from typing import Literal

from beholder.plurals import plural

Kind = Literal[
    "store",  # another database's
    "file missing",  # of a finished item
    "file damaged",
    "statistics missing",  # of a measured chunk of a study
    "leftover",  # a result that belongs to no item
    "picture missing",
    "picture damaged",
    "stray picture",  # in the store, unknown to the database
    "counters",  # of a job, against its items
    "chunks",  # of a job, against its items
    "items",  # that failed for no reason
    "study",  # verdicts, channels, exemplars
    "unreadable",  # a file of any kind, though the store answers
]
COLLECT = "`beholder gc` removes it."
AGAIN = "`beholder verify --mend` makes it again."
RECOUNT = "`beholder verify --mend` counts again."
REQUEUE = "`beholder verify --mend` puts it right."
RETRY = "`beholder retry` runs them again."
RETRY_IT = "`beholder retry` makes it again."
RESUBMIT = "submit the study again."
SEND = "send it again: `beholder submit` or POST /v1/pictures stores it anew."
SEND_ANEW = "`beholder verify --mend` removes it, then send it again: `beholder submit`."
SEE_TO = "see to its rights and its disk, or remove it, then verify again."
BRING_BACK = "`beholder gc --yes` puts it back."


def changed_words(size: int, written: int) -> str:
    """How a file of so many bytes differs from the one that was written, by its hash another."""
    if size == written:
        return f"the same length ({plural(size, 'byte')}), but other bytes"
    return f"{plural(size, 'byte')}, not {written:,}"


@dataclass(frozen=True)
class Finding:
    """where: a job, an item, or a path in the store. position: of the item, if it is one's."""

    kind: Kind
    where: str
    what: str
    mend: str
    job_id: str | None = None
    position: int | None = None

    def line(self) -> str:
        """For people."""
        return f"{self.where}: {self.what}; {self.mend}"

    def row(self) -> dict[str, str | int | None]:
        """For JSON."""
        return dict(vars(self))
