"""How pictures answer: `Response`, an objective of a layer's maps and its gradient for pictures.

An `Objective` is asked about one picture's maps at a time, so that none knows its neighbours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from beholder.errors import InvalidChannel
from beholder.layers import find_layer
from beholder.science.answers import Answers
from beholder.science.measures import mean, norm
from beholder.science.networks import Network, depth_of
from beholder.science.prefix import Precision

Objective = Callable[[Tensor], Tensor]  # a picture's maps (C, h, w) to a number, differentiable
strength: Objective = norm  # what `dream` makes large


def channel(number: int) -> Objective:
    """A channel's mean: what feature pictures usually make large."""
    return lambda maps: mean(_map(maps, number))


def neuron(number: int) -> Objective:
    """A channel's value in the middle of its map."""
    return lambda maps: _map(maps, number)[maps.shape[1] // 2, maps.shape[2] // 2]


def _map(maps: Tensor, number: int) -> Tensor:
    if not 0 <= number < len(maps):
        raise InvalidChannel(f"the layer has channels 0-{len(maps) - 1}; got {number}.")
    return maps[number]


@dataclass(frozen=True)
class Response:
    """The way from pictures to objectives of one layer's maps, and back, waking what is silent.

    depth: how many modules lead to the layer.
    """

    answers: Answers
    depth: int

    @classmethod
    def of(
        cls,
        network: Network,
        layer: int | str,
        *,
        normalize: bool = False,
        pre_relu: bool = False,
        precision: Precision = "float32",
    ) -> "Response":
        """That of a layer, read as `dream` reads it. Raises InvalidLayer, InvalidSpec."""
        return cls(
            Answers.of(network, normalize=normalize, precision=precision, wakes=True),
            depth_of(find_layer(layer), pre_relu=pre_relu),
        )

    def maps(self, pictures: Tensor) -> Tensor:
        """What the layer makes of `pictures` (B, 3, H, W): (B, C, h, w)."""
        return self.answers.maps(pictures, [self.depth])[self.depth]

    def __call__(self, pictures: Tensor, objectives: Sequence[Objective]) -> tuple[Tensor, Tensor]:
        """Each picture's objective (B,), and its gradient (B, 3, H, W).

        A value is NaN where a picture holds an infinity or NaN.
        """
        return self.answers(pictures, {self.depth: lambda row, maps: objectives[row](maps)})
