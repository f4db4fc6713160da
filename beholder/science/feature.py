"""What excites a channel: `feature`, pictures in Fourier space that stand being moved about.

Source: Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017, and its code, lucid.
"""

from collections.abc import Sequence
from typing import Unpack

from beholder.science.course import Course, answer_of, render_layer, size_of
from beholder.science.networks import Network
from beholder.science.optimisers import Adam
from beholder.science.rendering import Means, Rendered
from beholder.science.response import Objective
from beholder.science.spectrum import Fourier
from beholder.science.transforms import STANDARD

SIZE = 224  # pixels a side
DECAY = 1.25  # of a wave's strength with its frequency; 1, lucid's, leaves more noise in


def feature(
    network: Network,
    objective: Objective | Sequence[Objective],
    *,
    layer: int | str,
    seeds: Sequence[int] = (0,),
    size: int | tuple[int, int] = SIZE,
    decay: float = DECAY,
    **course: Unpack[Course],
) -> Rendered:
    """A picture for each of `seeds` that makes `objective` of `layer`'s maps large.

    objective: one for all pictures, or one a picture; each is asked about one picture's maps
    (C, h, w), and gives a number. size: pixels a side, or height and width; that of `starts` where
    they are given. The optimiser is Adam at 0.05 and the views are `STANDARD`, unless given; the
    rest is `Course`'s. Raises InvalidLayer, InvalidChannel, InvalidSpec, InvalidInput.
    """
    height, width = size_of(course, size)
    usual = Means(Fourier(height, width, decay), Adam(), STANDARD)
    return render_layer(network, layer, answer_of(objective, len(seeds)), usual, seeds, course)
