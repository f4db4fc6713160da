"""`Course`: what `feature`, `maco` and `caricature` have in common, and `render_layer` with it."""

from collections.abc import Callable, Sequence
from typing import TypedDict

from torch import Tensor

from beholder.errors import InvalidSpec
from beholder.science.checkpoint import Checkpoint
from beholder.science.networks import Network
from beholder.science.optimisers import Optimiser
from beholder.science.prefix import Precision
from beholder.science.rendering import Answer, Means, Rendered, render
from beholder.science.response import Objective, Response
from beholder.science.transforms import Drawn, Views

STEPS = 256


class Course(TypedDict, total=False):
    """How pictures are rendered; what is left out is as for `render` and `dream`.

    starts: pictures (B, 3, H, W) to begin with, or a checkpoint to go on from; None begins with
    what the seeds give. steps: `STEPS`, unless given. optimiser, views: each way has its own.
    normalize, pre_relu, precision, snapshots and callbacks as for `dream`.
    """

    starts: Tensor | Checkpoint | None
    steps: int
    optimiser: Optimiser | None
    views: Views
    snapshots: Sequence[int]
    normalize: bool
    pre_relu: bool
    precision: Precision
    on_step: Callable[[int], None] | None
    on_checkpoint: Callable[[int, Callable[[], Checkpoint]], None] | None


def render_layer(
    network: Network,
    layer: int | str,
    answer: Callable[[Response], Answer],
    usual: Means,
    seeds: Sequence[int],
    course: Course,
) -> Rendered:
    """Pictures that make large what `answer` makes of the layer's response, a seed each.

    usual: with what, where `course` does not say. Raises as `render` and `Response.of`.
    """
    precision = course.get("precision", "float32")
    response = Response.of(
        network,
        layer,
        normalize=course.get("normalize", False),
        pre_relu=course.get("pre_relu", False),
        precision=precision,
    )
    optimiser = course.get("optimiser") or usual.optimiser
    return render(
        network,
        answer(response),
        Means(usual.canvas, optimiser, course.get("views", usual.views)),
        seeds=seeds,
        starts=course.get("starts"),
        steps=course.get("steps", STEPS),
        snapshots=course.get("snapshots", ()),
        precision=precision,
        on_step=course.get("on_step"),
        on_checkpoint=course.get("on_checkpoint"),
    )


def answer_of(
    objective: Objective | Sequence[Objective], count: int
) -> Callable[[Response], Answer]:
    """Answers views of `count` pictures, whose objectives are these, or all the same."""
    objectives = [objective] * count if callable(objective) else list(objective)
    if len(objectives) != count:
        raise InvalidSpec(f"objectives: one, or one a seed, {count}; got {len(objectives)}.")

    def answered(response: Response) -> Answer:
        def answer(shown: Tensor, drawn: Drawn) -> tuple[Tensor, Tensor]:
            return response(shown, [objectives[row] for row in drawn.rows])

        return answer

    return answered


def size_of(course: Course, size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width of the pictures: those of the starts, where there are any."""
    starts = course.get("starts")
    if starts is not None:
        pictures = starts.pictures if isinstance(starts, Checkpoint) else starts
        height, width = pictures.shape[-2:]
        return height, width
    return (size, size) if isinstance(size, int) else size
