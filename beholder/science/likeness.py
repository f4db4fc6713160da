"""How like a layer's maps are to another picture's: `alike` place by place, `guided_by` anywhere.

Sources: Olah et al., "The Building Blocks of Interpretability", Distill 2018, and lucid's
caricatures; Mordvintsev, Olah and Tyka, "Inceptionism", 2015, whose code guides dreams.
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

_LEAST_COSINE = 0.1  # lucid's: without it nothing pulls at places that are not alike yet


def alike(maps: Tensor, other: Tensor, *, power: float) -> Tensor:
    """The mean over places of dot(x, y) * max(cos(x, y), 0.1) ** power, of maps (C, h, w)."""
    dots = (maps * other).sum(dim=0)  # (h, w)
    if power == 0:
        return dots.mean()
    cosines = F.cosine_similarity(maps, other, dim=0)
    return (dots * cosines.clamp_min(_LEAST_COSINE) ** power).mean()


def guided_by(guide: Tensor, *, cosine: bool = False) -> Callable[[Tensor], Tensor]:
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
