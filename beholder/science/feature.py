"""What excites a channel: `feature`, pictures in Fourier space that stand being moved about.

Source: Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017, and its code, lucid.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from beholder.errors import InvalidSpec
from beholder.science.checkpoint import Checkpoint
from beholder.science.networks import Network
from beholder.science.optimisers import Adam, Optimiser
from beholder.science.prefix import Precision
from beholder.science.rendering import Answer, Means, Rendered, render
from beholder.science.response import Objective, Response
from beholder.science.spectrum import Fourier
from beholder.science.transforms import STANDARD, Drawn, Views

STEPS = 256
SIZE = 224  # pixels a side
DECAY = 1.5  # of a wave's strength with its frequency; 1, lucid's, leaves noise in


def feature(
    network: Network,
    objective: Objective | Sequence[Objective],
    *,
    layer: int | str,
    seeds: Sequence[int] = (0,),
    starts: Tensor | Checkpoint | None = None,
    size: int | tuple[int, int] = SIZE,
    steps: int = STEPS,
    optimiser: Optimiser | None = None,
    views: Views = STANDARD,
    decay: float = DECAY,
    snapshots: Sequence[int] = (),
    normalize: bool = False,
    pre_relu: bool = False,
    precision: Precision = "float32",
    on_step: Callable[[int], None] | None = None,
    on_checkpoint: Callable[[int, Callable[[], Checkpoint]], None] | None = None,
) -> Rendered:
    """A picture for each of `seeds` that makes `objective` of `layer`'s maps large.

    objective: one for all pictures, or one a picture; each is asked about one picture's maps
    (C, h, w), and gives a number. size: pixels a side, or height and width; that of `starts` where
    they are given. optimiser: Adam at 0.05, unless given. The rest is as for `render` and `dream`.
    Raises InvalidLayer, InvalidChannel, InvalidSpec, InvalidInput.
    """
    height, width = size_of(starts, size)
    return render(
        network,
        answer_of(
            Response.of(
                network, layer, normalize=normalize, pre_relu=pre_relu, precision=precision
            ),
            objective,
            len(seeds),
        ),
        Means(Fourier(height, width, decay), optimiser or Adam(), views),
        seeds=seeds,
        starts=starts,
        steps=steps,
        snapshots=snapshots,
        precision=precision,
        on_step=on_step,
        on_checkpoint=on_checkpoint,
    )


def answer_of(response: Response, objective: Objective | Sequence[Objective], count: int) -> Answer:
    """The answer to views of `count` pictures, whose objectives are these."""
    objectives = [objective] * count if callable(objective) else list(objective)
    if len(objectives) != count:
        raise InvalidSpec(f"objectives: one, or one a seed, {count}; got {len(objectives)}.")

    def answer(shown: Tensor, drawn: Drawn) -> tuple[Tensor, Tensor]:
        return response(shown, [objectives[row] for row in drawn.rows])

    return answer


def size_of(starts: Tensor | Checkpoint | None, size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width of the pictures."""
    if starts is not None:
        pictures = starts.pictures if isinstance(starts, Checkpoint) else starts
        height, width = pictures.shape[-2:]
        return height, width
    return (size, size) if isinstance(size, int) else size
