"""Ways to climb: `Adam` and `NAdam`, whose memory is tensors that a checkpoint can keep.

torch's own do the same arithmetic, for one step count and one parameter; here every picture of a
batch has its memory beside it, as it would have alone.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

Memory = dict[str, Tensor]
_BLOCK = 256  # steps whose momentum is multiplied in one go, however many there were before


class Optimiser(Protocol):
    """Moves parameters against their gradient, and remembers."""

    def start(self, parameters: Tensor) -> Memory:
        """What it remembers before the first step."""
        ...

    def step(self, parameters: Tensor, gradient: Tensor, memory: Memory, number: int) -> Tensor:
        """The parameters after step `number`, from 1 on; `memory` is changed in place."""
        ...


@dataclass(frozen=True)
class Adam:
    """Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1."""

    rate: float = 0.05
    mean_decay: float = 0.9
    square_decay: float = 0.999
    least: float = 1e-8

    def start(self, parameters: Tensor) -> Memory:
        return _moments(parameters)

    def step(self, parameters: Tensor, gradient: Tensor, memory: Memory, number: int) -> Tensor:
        _remember(memory, gradient, self.mean_decay, self.square_decay)
        size = self.rate / (1 - self.mean_decay**number)
        return parameters.addcdiv(memory["mean"], _root(self, memory, number), value=-size)


@dataclass(frozen=True)
class NAdam:
    """Dozat, "Incorporating Nesterov momentum into Adam", 2016, with its schedule of momentum."""

    rate: float = 0.3
    mean_decay: float = 0.9
    square_decay: float = 0.999
    least: float = 1e-8
    momentum_decay: float = 0.004

    def start(self, parameters: Tensor) -> Memory:
        return _moments(parameters)

    def step(self, parameters: Tensor, gradient: Tensor, memory: Memory, number: int) -> Tensor:
        _remember(memory, gradient, self.mean_decay, self.square_decay)
        decays = (self.mean_decay, self.momentum_decay)
        now, following = _momentum(*decays, number), _momentum(*decays, number + 1)
        product = momentum_product(*decays, number)
        root = _root(self, memory, number)
        parameters = parameters.addcdiv(
            gradient, root, value=-self.rate * (1 - now) / (1 - product)
        )
        size = self.rate * following / (1 - product * following)
        return parameters.addcdiv(memory["mean"], root, value=-size)


@lru_cache(maxsize=1024)
def momentum_product(mean_decay: float, momentum_decay: float, number: int) -> float:
    """The product of NAdam's momentum in the steps from 1 to `number`, multiplied in that order.

    No part of what a checkpoint keeps: it is had again from the step's number.
    """
    done = (number - 1) // _BLOCK * _BLOCK
    product = momentum_product(mean_decay, momentum_decay, done) if done else 1.0
    for step in range(done + 1, number + 1):
        product *= _momentum(mean_decay, momentum_decay, step)
    return product


def _momentum(mean_decay: float, momentum_decay: float, number: int) -> float:
    return mean_decay * (1 - 0.5 * math.pow(0.96, number * momentum_decay))


def _moments(parameters: Tensor) -> Memory:
    return {name: torch.zeros_like(parameters) for name in ("mean", "square")}


def _remember(
    memory: Mapping[str, Tensor], gradient: Tensor, mean_decay: float, square_decay: float
) -> None:
    memory["mean"].lerp_(gradient, 1 - mean_decay)
    memory["square"].mul_(square_decay).addcmul_(gradient, gradient, value=1 - square_decay)


def _root(optimiser: Adam | NAdam, memory: Mapping[str, Tensor], number: int) -> Tensor:
    unbiased = 1 - optimiser.square_decay**number
    return memory["square"].div(unbiased).sqrt_().add_(optimiser.least)
