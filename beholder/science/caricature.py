"""Pictures of what a layer sees in others, and too much of it: `caricature`.

Source: Olah et al., "The Building Blocks of Interpretability", Distill 2018, and lucid.
"""

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor

from beholder.errors import InvalidInput
from beholder.science.course import Course, render_layer
from beholder.science.feature import DECAY
from beholder.science.likeness import alike
from beholder.science.networks import Network, check_pictures
from beholder.science.optimisers import Adam
from beholder.science.rendering import Answer, Means, Rendered
from beholder.science.response import Objective, Response
from beholder.science.spectrum import Fourier
from beholder.science.transforms import STANDARD, Drawn


def caricature(
    network: Network,
    sources: Tensor,
    *,
    layer: int | str,
    power: float = 4.0,
    seeds: Sequence[int] | None = None,
    decay: float = DECAY,
    **course: Unpack[Course],
) -> Rendered:
    """For each of `sources` (B, 3, H, W) a picture of what `layer` sees in it, and too much of it.

    Its maps are to be `alike` the source's, which is shown from the same sides. seeds: one a
    picture; None counts from 0. power: 0 is the dot product alone. The rest is as for `feature`.
    """
    check_pictures(sources)
    starts = course.get("starts")
    if isinstance(starts, Tensor) and starts.shape != sources.shape:
        raise InvalidInput(
            f"starts have the sources' shape {tuple(sources.shape)}; got {tuple(starts.shape)}."
        )
    height, width = sources.shape[2:]
    sources = sources.to(network.device)

    def answered(response: Response) -> Answer:
        def answer(shown: Tensor, drawn: Drawn) -> tuple[Tensor, Tensor]:
            wanted = response.maps(drawn.of(sources.to(shown.dtype)))
            return response(shown, [_toward(maps, power) for maps in wanted])

        return answer

    usual = Means(Fourier(height, width, decay), Adam(), STANDARD)
    seeds = range(len(sources)) if seeds is None else seeds
    return render_layer(network, layer, answered, usual, seeds, course)


def _toward(other: Tensor, power: float) -> Objective:
    return lambda maps: alike(maps, other.to(maps), power=power)
