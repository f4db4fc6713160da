"""Every error that Beholder raises on purpose. The message says what to change, in one line.

BeholderError
├── InvalidInput          the request is wrong: exit 2, HTTP 422
│   ├── InvalidLayer
│   ├── InvalidChannel
│   ├── InvalidSpec
│   │   ├── InvalidObjective
│   │   └── NoSuchPrecision  not on this device: jobs that others began are left to them
│   └── NoPictures
├── PictureError          one picture can't be used; its item fails alone
├── FileUnusable          one file can't be used, though the store answers: an attempt is lost
├── NetworkUnavailable    weights can't be had: a job that nobody began fails, `retry` runs it
├── NotFound              no such job, study or result: exit 2, HTTP 404
├── Conflict              not in this state (cancelling a finished job): exit 2, HTTP 409
├── NotInstalled          an optional package is missing: names the extra; exit 2, HTTP 501
├── DatabaseOutdated      the schema is behind or ahead: names the command
├── ServiceUnavailable    database, queue or store can't be reached
│   └── StoreMissing      nothing of the store is where it should be: work waits for it
└── StorageFull           no room left for results
    └── MemoryTaken       nor in memory, which other programs hold
"""

from pathlib import Path


class BeholderError(Exception):
    """The root of the tree. `str(error)` is one line that can be shown to a user as it is."""


class InvalidInput(BeholderError):
    """The request can't be carried out as written."""


class InvalidLayer(InvalidInput):
    """No such layer in VGG19's features."""


class InvalidChannel(InvalidInput):
    """The layer has no such channel in this network."""


class InvalidSpec(InvalidInput):
    """A job's setting is outside its limits."""


class InvalidObjective(InvalidSpec):
    """What a dream is to climb can't be read, or is not in this network."""


class NoSuchPrecision(InvalidSpec):
    """This device does not have the precision that a dream asks for; another's may."""


class NoPictures(InvalidInput):
    """Nothing to work on: an empty folder, or no readable picture."""


class PictureError(BeholderError):
    """One picture can't be read, decoded or used."""


class FileUnusable(BeholderError):
    """One file of the store can't be used, for want of a right or a sound disk; others can."""


class NetworkUnavailable(BeholderError):
    """The network's weights are neither here nor to be had."""


class NotFound(BeholderError):
    """No such job, study, picture or result."""


class Conflict(BeholderError):
    """The job is not in a state in which that can be done."""


class NotInstalled(BeholderError):
    """A package that only some uses need is not there."""


class DatabaseOutdated(BeholderError):
    """The database's schema does not fit this version of the code."""


class ServiceUnavailable(BeholderError):
    """The database, the queue or the store does not answer."""


class StoreMissing(ServiceUnavailable):
    """The store as a whole is not there, though its database knows of it. Work waits for it."""


class StorageFull(BeholderError):
    """The disk or the store has no room for a result.

    folder, size: where how many bytes have to be free, if that is known and not in the store.
    """

    def __init__(self, message: str, *, folder: Path | None = None, size: int = 0) -> None:
        super().__init__(message)
        self.folder = folder
        self.size = size


class MemoryTaken(StorageFull):
    """A picture does not fit into what others leave of memory. As with a full disk, work waits."""
