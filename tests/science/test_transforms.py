"""Views of pictures: what each transform does, and that no picture knows its neighbours."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from beholder.science.transforms import STANDARD, Crop, Jitter, Rotate, Scale, Views

ALL = Views(
    (Jitter(3), Scale(0.8, 1.2), Rotate(15), Crop(0.6, 0.9)), count=2, size=(40, 36), noise=0.1
)


@pytest.fixture(scope="module")
def pictures():
    return torch.rand((3, 3, 48, 40), generator=torch.Generator().manual_seed(2))


def seen(views, pictures, seeds, step=1):
    return views.drawn(seeds, step, tuple(pictures.shape[2:])).of(pictures)


def test_without_transforms_a_view_is_the_picture_itself(pictures):
    assert seen(Views(), pictures, (0, 1, 2)) is pictures
    still = Views((Jitter(0), Scale(1, 1), Rotate(0), Crop(1, 1)))
    assert torch.equal(seen(still, pictures, (0, 1, 2)), pictures)


@pytest.mark.parametrize("views", [STANDARD, ALL], ids=["standard", "all"])
def test_a_view_depends_on_its_seed_and_step_alone(pictures, views):
    together = seen(views, pictures, (7, 8, 7), step=4)
    alone = [seen(views, pictures[[row]], (seed,), step=4) for row, seed in enumerate((7, 8, 7))]
    assert torch.equal(together, torch.cat(alone))
    assert not torch.equal(together, seen(views, pictures, (7, 8, 7), step=5))
    same = pictures[[0, 0]]
    one, other = seen(views, same, (7, 8), step=4).chunk(2)
    assert not torch.equal(one, other)


def test_views_follow_one_another_picture_by_picture(pictures):
    drawn = ALL.drawn((1, 2, 3), 1, (48, 40))
    assert drawn.rows == [0, 0, 1, 1, 2, 2]
    assert drawn.of(pictures).shape == (6, 3, 40, 36)
    grey = Views(ALL.transforms, count=2, size=(40, 36))
    assert torch.allclose(seen(grey, pictures * 0 + 0.5, (1, 2, 3)), torch.tensor(0.5))


class At:
    """A transform that draws nothing."""

    def __init__(self, matrix):
        self.found = np.array(matrix, dtype=float)

    def matrix(self, draws, size):
        return self.found


def test_places_are_pixels_from_the_middle(pictures):
    moved = seen(Views((At([[1, 0, 2], [0, 1, -3], [0, 0, 1]]),)), pictures, (0, 0, 0))
    assert torch.allclose(moved[:, :, 3:, :-2], pictures[:, :, :-3, 2:], atol=1e-5)
    assert torch.allclose(moved[:, :, :3], torch.tensor(0.5), atol=1e-5)
    square = pictures[:, :, :40]
    turned = seen(Views((At([[0, -1, 0], [1, 0, 0], [0, 0, 1]]),)), square, (0, 0, 0))
    assert torch.allclose(turned, square.rot90(1, (2, 3)), atol=1e-5)


def test_transforms_are_made_in_their_order():
    right = At([[1, 0, -5], [0, 1, 0], [0, 0, 1]])
    twice = At([[0.5, 0, 0], [0, 0.5, 0], [0, 0, 1]])
    picture = torch.full((1, 3, 41, 41), 0.5)
    picture[:, :, 20, 20] = 1.0
    place = {}
    for name, order in {"move, enlarge": (right, twice), "enlarge, move": (twice, right)}.items():
        shown = seen(Views(order), picture, (0,))[0, 0]
        place[name] = divmod(int(shown.argmax()), 41)
    assert place == {"move, enlarge": (20, 30), "enlarge, move": (20, 25)}


def test_views_have_the_gradient_of_finite_differences():
    picture = torch.rand((1, 3, 6, 7), dtype=torch.float64, requires_grad=True)
    for beyond in ("grey", "mirror"):
        views = Views((Jitter(1), Scale(0.8, 1.2), Rotate(20)), count=2, beyond=beyond, noise=0.1)
        assert gradcheck(views.drawn((3,), 1, (6, 7)).of, picture)
