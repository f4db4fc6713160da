"""What a film's frame starts from: `zoomed`, the middle of the one before; `carried`, a mixture."""

from PIL import Image
from torch import Tensor

from beholder.errors import PictureError


def zoomed(image: Image.Image, factor: float) -> Image.Image:
    """The middle of an image, `factor` times as large (bicubic), in the image's own size."""
    width, height = image.size
    across, down = width * (1 - 1 / factor) / 2, height * (1 - 1 / factor) / 2
    box = (across, down, width - across, height - down)
    return image.resize(image.size, Image.Resampling.BICUBIC, box=box)


def carried(picture: Tensor, before: Tensor, share: float) -> Tensor:
    """`picture` (3, H, W) with this share of the dream `before`, of the same size, mixed in.

    Raises PictureError for another size.
    """
    if picture.shape != before.shape:
        (height, width), (its_height, its_width) = picture.shape[1:], before.shape[1:]
        raise PictureError(
            f"{width} x {height} pixels after a frame of {its_width} x {its_height}: a film's "
            "frames have one size; give one as --size."
        )
    return picture.lerp(before, share)
