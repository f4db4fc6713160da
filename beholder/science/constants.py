"""`Constant`: a tensor of which there is one copy for each device and type that it is wanted in."""

import torch
from torch import Tensor


class Constant:
    """Not to be changed. To make it anew for each picture and step, a GPU would be waited for."""

    def __init__(self, values: Tensor) -> None:
        self._values = values
        self._copies: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def beside(self, other: Tensor) -> Tensor:
        """It where `other` is, and in its type."""
        key = other.device, other.dtype
        if key not in self._copies:
            with torch.inference_mode(False):  # whoever comes next may want gradients
                self._copies[key] = self._values.to(other, copy=True)
        return self._copies[key]
