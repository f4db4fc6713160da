"""Toward what a layer makes of another picture: `caricature` place by place, `guided_by` anywhere.

Sources: Olah et al., "The Building Blocks of Interpretability", Distill 2018, and lucid's
caricatures; Mordvintsev, Olah and Tyka, "Inceptionism", 2015, whose code guides dreams.
"""

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn import functional as F

from beholder.errors import InvalidInput
from beholder.science.checkpoint import Checkpoint
from beholder.science.feature import DECAY, STEPS
from beholder.science.networks import Network, check_pictures
from beholder.science.optimisers import Adam, Optimiser
from beholder.science.prefix import Precision
from beholder.science.rendering import Means, Rendered, render
from beholder.science.response import Objective, Response
from beholder.science.spectrum import Fourier
from beholder.science.transforms import STANDARD, Drawn, Views

_LEAST_COSINE = 0.1  # lucid's: without it nothing pulls at places that are not alike yet


def alike(maps: Tensor, other: Tensor, *, power: float) -> Tensor:
    """The mean over places of dot(x, y) * max(cos(x, y), 0.1) ** power, of maps (C, h, w)."""
    dots = (maps * other).sum(dim=0)  # (h, w)
    if power == 0:
        return dots.mean()
    cosines = F.cosine_similarity(maps, other, dim=0)
    return (dots * cosines.clamp_min(_LEAST_COSINE) ** power).mean()


def guided_by(guide: Tensor, *, cosine: bool = False) -> Objective:
    """The mean over places of the dot product with the place of `guide` (C, h, w) that it fits.

    guide: a layer's maps of another picture, of any size. cosine: of directions instead.
    """
    columns = guide.flatten(1)  # (C, places)
    if cosine:
        columns = F.normalize(columns, dim=0)

    def objective(maps: Tensor) -> Tensor:
        rows = maps.flatten(1).T  # (h * w, C)
        if cosine:
            rows = F.normalize(rows, dim=1)
        return (rows @ columns.to(rows)).max(dim=1).values.mean()

    return objective


def caricature(
    network: Network,
    sources: Tensor,
    *,
    layer: int | str,
    power: float = 4.0,
    seeds: Sequence[int] | None = None,
    starts: Tensor | Checkpoint | None = None,
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
    """For each of `sources` (B, 3, H, W) a picture of what `layer` sees in it, and too much of it.

    Its maps are to be `alike` the source's, which is shown from the same sides. seeds: one a
    picture; None counts from 0. power: 0 is the dot product alone. The rest is as for `feature`.
    """
    check_pictures(sources)
    if isinstance(starts, Tensor) and starts.shape != sources.shape:
        raise InvalidInput(
            f"starts have the sources' shape {tuple(sources.shape)}; got {tuple(starts.shape)}."
        )
    height, width = sources.shape[2:]
    response = Response.of(
        network, layer, normalize=normalize, pre_relu=pre_relu, precision=precision
    )
    sources = sources.to(network.device)

    def answer(shown: Tensor, drawn: Drawn) -> tuple[Tensor, Tensor]:
        wanted = response.maps(drawn.of(sources.to(shown.dtype)))
        return response(shown, [_toward(maps, power) for maps in wanted])

    return render(
        network,
        answer,
        Means(Fourier(height, width, decay), optimiser or Adam(), views),
        seeds=range(len(sources)) if seeds is None else seeds,
        starts=starts,
        steps=steps,
        snapshots=snapshots,
        precision=precision,
        on_step=on_step,
        on_checkpoint=on_checkpoint,
    )


def _toward(other: Tensor, power: float) -> Objective:
    return lambda maps: alike(maps, other.to(maps), power=power)
