"""What makes one number of a picture's maps, or of the picture itself: a term of an objective.

Each is a function of one picture's maps (C, h, w), so that none knows its neighbours in a batch;
all are differentiable. `measured` picks the one that a term asks for.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from beholder.errors import InvalidObjective, InvalidSpec
from beholder.layers import LAYERS
from beholder.science.likeness import alike, guided_by
from beholder.terms import Term

GREY = 0.5
_LEAST = 1e-6
_POWER = 4.0  # of the cosines in a caricature


def measured(term: Term, maps: Tensor, guide: Tensor | None, full: tuple[int, int]) -> Tensor:
    """A layer's term, without its weight, of one picture's maps (C, h, w).

    guide: another picture's maps, for a guide or a caricature. full: height and width in pixels of
    the picture that a term's place is meant in; smaller maps have it in proportion.
    """
    if term.measure == "guide":
        return guided_by(_chosen(_given(guide), term))(_chosen(maps, term))
    if term.measure == "caricature":
        return _overdrawn(_chosen(maps, term), _chosen(_given(guide), term))
    if term.place is not None:
        maps = _at(maps, term, full)
    if term.measure == "direction":
        return along(_chosen(maps, term), _shares(term, maps))
    return _PLAIN[term.measure or ""](_chosen(maps, term))


def norm(maps: Tensor) -> Tensor:
    """The L2 norm."""
    found: Tensor = torch.linalg.vector_norm(maps)
    return found


def squared(maps: Tensor) -> Tensor:
    """Half the sum of squares: its gradient for the maps are the maps.

    Source: google/deepdream's `objective_L2`.
    """
    return maps.square().sum() / 2


def mean(maps: Tensor) -> Tensor:
    """The mean. Source: Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017."""
    return maps.mean()


def along(maps: Tensor, shares: Tensor) -> Tensor:
    """How far the mean place goes in a direction: the shares (C,) brought to length 1."""
    unit = shares / torch.linalg.vector_norm(shares)
    found: Tensor = torch.tensordot(unit, maps, dims=1).mean()
    return found


def diversity(maps: Tensor) -> Tensor:
    """How unlike the picture's four quarters are: minus their textures' mean cosine.

    A texture is a Gram matrix of channels. lucid compares the pictures of a batch; here no picture
    knows its neighbours, so the parts of one are compared. Raises InvalidSpec for maps too small.
    """
    rows, columns = maps.shape[1] // 2, maps.shape[2] // 2
    if not rows or not columns:
        raise InvalidSpec("objective: diversity compares quarters of maps, these have 1 place.")
    quarters = [
        maps[:, top : top + rows, left : left + columns].flatten(1)  # (C, places)
        for top in (0, maps.shape[1] - rows)
        for left in (0, maps.shape[2] - columns)
    ]
    textures = [_unit((quarter @ quarter.T).flatten()) for quarter in quarters]
    pairs = [left @ right for at, left in enumerate(textures) for right in textures[:at]]
    return -torch.stack(pairs).mean()


def variation(picture: Tensor) -> Tensor:
    """The sum of absolute differences between a picture's (3, H, W) neighbouring pixels."""
    down, across = picture.diff(dim=1), picture.diff(dim=2)
    return down.abs().sum() + across.abs().sum()


def distance_from_grey(picture: Tensor) -> Tensor:
    """Half the sum of a picture's squared distances from mid-grey."""
    return (picture - GREY).square().sum() / 2


_PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "norm": norm,
    "squared": squared,
    "mean": mean,
    "diversity": diversity,
}
OF_PICTURES: dict[str, Callable[[Tensor], Tensor]] = {"tv": variation, "l2": distance_from_grey}


def _overdrawn(maps: Tensor, guide: Tensor) -> Tensor:
    """Likeness, place by place. Raises InvalidSpec for maps of two sizes."""
    if maps.shape != guide.shape:
        raise InvalidSpec("guide: a caricature's views have its picture's size; use no crops.")
    return alike(maps, guide, power=_POWER)


def _chosen(maps: Tensor, term: Term) -> Tensor:
    if term.channels is None:
        return maps
    return maps.index_select(0, _kept(term.channels, torch.int64, maps.device))


def _shares(term: Term, maps: Tensor) -> Tensor:
    return _kept(term.shares, torch.float32, maps.device).to(maps)


@lru_cache(maxsize=1024)
def _kept(numbers: tuple[float, ...], kind: torch.dtype, device: torch.device) -> Tensor:
    """What each step asks for, where the maps are: a GPU is waited for to copy it there."""
    with torch.inference_mode(False):  # whoever comes next may want gradients
        return torch.tensor(numbers, dtype=kind, device=device)


def _at(maps: Tensor, term: Term, full: tuple[int, int]) -> Tensor:
    """The place (C, 1, 1) that a term means. Raises InvalidObjective where there is none."""
    assert term.layer is not None
    height, width = maps.shape[1:]
    if term.place == "center" or term.place is None:
        row, column = height // 2, width // 2
    else:
        stride = LAYERS[term.layer].stride
        rows, columns = full[0] // stride, full[1] // stride
        if term.place[0] >= rows or term.place[1] >= columns:
            raise InvalidObjective(
                f"objective: {LAYERS[term.layer].name} has rows 0-{rows - 1} and columns "
                f"0-{columns - 1} of {full[1]} x {full[0]} pixels; got "
                f"{term.place[0]},{term.place[1]}."
            )
        row, column = term.place[0] * height // rows, term.place[1] * width // columns
    return maps[:, row : row + 1, column : column + 1]


def _given(guide: Tensor | None) -> Tensor:
    if guide is None:
        raise InvalidSpec("guide: the objective goes toward a picture; give one.")
    return guide


def _unit(values: Tensor) -> Tensor:
    return F.normalize(values, dim=0, eps=_LEAST)
