"""What a dream changed, as a picture: `Differences` writes |dream - start| for a job's dreams."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PIL import Image, ImageChops

from beholder.errors import NotFound, PictureError
from beholder.pictures import decode
from cli.files import make_folder, write_file

if TYPE_CHECKING:
    from beholder.jobs.views import ItemView, JobView
    from cli.desk import Desk

FOLDER = "differences"


def difference(start: Image.Image, dreamt: Image.Image) -> Image.Image:
    """|dreamt - start|, scaled so that the largest change of a colour is 255; black for none."""
    changed = ImageChops.difference(start, dreamt)
    extrema = cast(tuple[tuple[int, int], ...], changed.getextrema())  # of each colour
    most = max(high for _, high in extrema)
    return changed.point(lambda value: round(value * 255 / max(1, most)))


@dataclass(frozen=True)
class Differences:
    """Of a dream job's last steps, in a folder beside its pictures."""

    desk: "Desk"
    job: "JobView"
    folder: Path

    def write(self, item: "ItemView", dreamt: Path) -> bool:
        """Of the dream in this file; False where the store has no start to hold it against.

        So are later frames of films, which start from dreams, and noise but at the first layer.
        """
        start = self._start(item)
        if start is None:
            return False
        image = difference(start, decode(dreamt.read_bytes()))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        make_folder(self.folder / FOLDER)
        write_file(self.folder / FOLDER / dreamt.name, buffer.getvalue())
        return True

    def _start(self, item: "ItemView") -> Image.Image | None:
        try:
            return decode(self.desk.start(self.job, item))
        except (NotFound, PictureError):
            return None
