"""`Checkpoint`: a batch of dreams midway, from which `dream` goes on."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Checkpoint:
    """A batch in the middle of its dream. All tensors are on the CPU.

    pictures: (B, 3, H, W), after `step` steps, in the precision that they are computed in.
    snapshots, objective: of a `Dream`, as far as they go. memory: what else a way to render
    pictures has to know, such as an optimiser's moments: tensors (B, ...) by name.
    """

    step: int
    pictures: Tensor
    snapshots: dict[int, Tensor]
    objective: Tensor
    memory: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def start(cls, pictures: Tensor) -> "Checkpoint":
        """Before the first step; `pictures` may be on any device."""
        return cls(0, pictures, {}, torch.empty(0, len(pictures)))

    @classmethod
    def together(cls, parts: Sequence["Checkpoint"]) -> "Checkpoint":
        """The batch of these, which are at the same step of dreams that are alike."""
        first = parts[0]
        if len(parts) == 1:  # perhaps of a very large picture, of which no copy is made
            return first
        return cls(
            first.step,
            torch.cat([part.pictures for part in parts]),
            {step: torch.cat([p.snapshots[step] for p in parts]) for step in first.snapshots},
            torch.cat([part.objective for part in parts], dim=1),
            {name: torch.cat([part.memory[name] for part in parts]) for name in first.memory},
        )

    def row(self, index: int) -> "Checkpoint":
        """One picture's part, a batch of 1; contiguous, and in the same memory where it can be."""

        def part(tensor: Tensor, dim: int = 0) -> Tensor:
            return tensor.narrow(dim, index, 1).contiguous()

        snapshots = {step: part(pictures) for step, pictures in self.snapshots.items()}
        memory = {name: part(tensor) for name, tensor in self.memory.items()}
        objective = part(self.objective, 1)
        return Checkpoint(self.step, part(self.pictures), snapshots, objective, memory)

    def curve(self, norms: Sequence[Tensor]) -> Tensor:
        """The objective (steps, B) with the norms (B,) of the steps that followed, on the CPU."""
        if not norms:
            return self.objective
        later = torch.stack(list(norms)).cpu()
        return torch.cat([self.objective, later]) if self.step else later
