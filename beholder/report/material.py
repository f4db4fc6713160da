"""What a report shows beside its figures, from the database and the store: `find`, then `fetch`.

Finding asks the database alone and is quick; its `key` says whether a page made before would look
the same, so that a server need not fetch and draw again.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from beholder.errors import NotFound, PictureError
from beholder.evidence.document import Evidence, LogitsFile
from beholder.evidence.stored import logits_path, whole_logits
from beholder.jobs.channel_dreams import dreams_of
from beholder.jobs.database import Database
from beholder.jobs.exemplar_queries import exemplars
from beholder.jobs.queries import evidence_path
from beholder.jobs.views import JobView
from beholder.report.data import MAX_LOGITS
from beholder.report.page import Channel, Material
from beholder.report.thumbs import small
from beholder.store import Store, picture_path

EXEMPLARS, DREAMS = 4, 2  # pictures a channel
WITH_PICTURES = 60  # channels, the best
FACES = 120  # test pictures


@dataclass(frozen=True)
class Found:
    """Paths in the store: faces by SHA-256, exemplars and dreams by channel; logits that fit."""

    faces: dict[str, str]
    exemplars: dict[Channel, list[str]]
    dreams: dict[Channel, list[str]]
    logits: tuple[str, LogitsFile] | None

    @property
    def key(self) -> str:
        """The same for the same pictures."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


def find(database: Database, job: JobView, evidence: Evidence) -> Found:
    """What there is to show: the study's own pictures, and dreams of its channels by any job."""
    channels = [(one.layer, one.channel) for one in evidence.channels[:WITH_PICTURES]]
    strongest = {one: _strongest(database, job, one) for one in channels}
    dreamt = dreams_of(database, job.network_sha256 or job.network, channels)
    tested = [row.sha256 for row in evidence.rows if row.split == "test"][:FACES]
    return Found(
        faces={sha256: picture_path(sha256) for sha256 in tested},
        exemplars={one: paths for one, paths in strongest.items() if paths},
        dreams={one: [file.path for file in files[:DREAMS]] for one, files in dreamt.items()},
        logits=_kept_logits(database, job, evidence),
    )


def fetch(store: Store, found: Found, *, max_pixels: int) -> Material:
    """Small copies of all of it. What the store has lost, or can't be read, is left out."""
    kept: dict[str, bytes | None] = {}

    def one(path: str) -> bytes | None:
        if path not in kept:
            kept[path] = _small(lambda: store.get(path), max_pixels)
        return kept[path]

    def several(paths: list[str]) -> list[bytes]:
        return [copy for path in paths if (copy := one(path)) is not None]

    return Material(
        faces={name: copy for name, path in found.faces.items() if (copy := one(path)) is not None},
        exemplars={channel: several(paths) for channel, paths in found.exemplars.items()},
        dreams={channel: several(paths) for channel, paths in found.dreams.items()},
        logits=None if found.logits is None else _logits(store, *found.logits),
    )


def _strongest(database: Database, job: JobView, channel: Channel) -> list[str]:
    layer, number = channel
    best = exemplars(database, layer=layer, channel=number, studies=[job.id], limit=EXEMPLARS)
    return [picture_path(one.picture_sha256) for one in best]


def _kept_logits(
    database: Database, job: JobView, evidence: Evidence
) -> tuple[str, LogitsFile] | None:
    told, path = evidence.logits, evidence_path(database, job.id)
    if told is None or path is None or told.bytes > MAX_LOGITS:
        return None
    return logits_path(path), told


def _logits(store: Store, path: str, told: LogitsFile) -> bytes | None:
    try:
        return whole_logits(store, path, told)
    except NotFound:
        return None


def _small(read: Callable[[], bytes], max_pixels: int) -> bytes | None:
    try:
        return small(read(), max_pixels=max_pixels)
    except (NotFound, PictureError):
        return None
