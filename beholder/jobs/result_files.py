"""A result's bytes as they were written, the same from the command line and over HTTP."""

import hashlib

from beholder.errors import PictureError
from beholder.jobs.outcomes import StoredFile
from beholder.store import Store


def read_result(store: Store, file: StoredFile) -> bytes:
    """Raises NotFound where the store has lost the file, PictureError where it is damaged."""
    data = store.get(file.path)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise PictureError(f"{file.path} is not what was written: run `beholder verify --mend`.")
    return data
