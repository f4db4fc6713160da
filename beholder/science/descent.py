"""Many ablations' way through a network at once: `Descent`.

Conditions go together for as long as nothing tells them apart, fork at the layer where they are
first cut differently, and go on from there as one batch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from beholder.science.ablation import Cut
from beholder.science.fills import Fills
from beholder.science.networks import Network
from beholder.science.prefix import Prefix
from beholder.science.stages import Conv, Pool

# Maps of a batch. On a CPU they and what is made of them should stay in the last cache.
_CPU_BYTES = 16 * 2**20
_GPU_BYTES = 2**30
# A cut of at most this part of a layer is taken off the next convolution's sums.
_FEW = 1 / 8

Groups = list[list[int]]


@dataclass(frozen=True)
class _Branch:
    """Conditions of one group that are cut alike at a layer. parent: the group's place."""

    parent: int
    cut: Cut | None
    conditions: list[int]


class Descent:
    """The ways of B pictures under A conditions, which are cuts by layer.

    Maps are (G * B, C, h, w) in channels_last: of G groups of conditions one after another, each
    with all pictures.
    """

    def __init__(
        self,
        network: Network,
        prefix: Prefix,
        conditions: Sequence[Mapping[int, Cut]],
        fills: Fills | None,
        positions: Sequence[int],
    ) -> None:
        self._network = network
        self._prefix = prefix
        self._conditions = conditions
        self._fills = fills
        self._positions = positions
        self._most = _CPU_BYTES if network.device.type == "cpu" else _GPU_BYTES
        self._kernels: dict[int, Tensor] = {}

    def ways(self, pictures: Tensor) -> Iterator[tuple[Groups, Tensor]]:
        """Groups of conditions with the last layer's maps (G * B, C, h, w) under them.

        Every condition is in one group, the first condition in the first one.
        """
        groups = [list(range(len(self._conditions)))]
        yield from self._down(self._prefix.stages(), -1, self._prefix.entry(pictures), groups)

    def _down(
        self, stages: Sequence[Conv | Pool], layer: int, maps: Tensor, groups: Groups
    ) -> Iterator[tuple[Groups, Tensor]]:
        """From the maps of `layer`, which are not cut yet, through `stages`."""
        for place, stage in enumerate(stages):
            branches = self._branches(layer, groups)
            if len(branches) > len(groups):
                for some, moved in self._forked(stage, maps, branches):
                    yield from self._down(stages[place + 1 :], stage.last, moved, some)
                return
            self._cut(maps, branches)
            maps = self._prefix.through(stage, maps)
            layer = stage.last
        branches = self._branches(layer, groups)
        last = self._copied(maps, branches)
        self._cut(last, branches)
        yield [branch.conditions for branch in branches], last

    def _branches(self, layer: int, groups: Groups) -> list[_Branch]:
        """What the groups split into at a layer, in their order; what is not cut comes first."""
        found: list[_Branch] = []
        for parent, conditions in enumerate(groups):
            alike: dict[Cut | None, list[int]] = {}
            for condition in conditions:
                alike.setdefault(self._conditions[condition].get(layer), []).append(condition)
            found += [_Branch(parent, cut, some) for cut, some in alike.items()]
        return found

    def _forked(
        self, stage: Conv | Pool, maps: Tensor, branches: list[_Branch]
    ) -> Iterator[tuple[Groups, Tensor]]:
        """Branches with their maps behind `stage`, as many at a time as memory is meant to hold."""
        few = [branch for branch in branches if self._is_few(stage, maps, branch.cut)]
        many = [branch for branch in branches if not self._is_few(stage, maps, branch.cut)]
        if few:
            assert isinstance(stage, Conv)
            sums = self._prefix.sums(stage, maps)
            for some in self._batches(few, maps, sums):
                yield [branch.conditions for branch in some], self._less(stage, maps, sums, some)
            del sums
        for some in self._batches(many, maps, maps):
            copied = self._copied(maps, some)
            self._cut(copied, some)
            yield [branch.conditions for branch in some], self._prefix.through(stage, copied)

    def _less(self, stage: Conv, maps: Tensor, sums: Tensor, branches: list[_Branch]) -> Tensor:
        """The branches' maps behind `stage`, from its `sums` of their parents' `maps`.

        A convolution is linear: what a few channels lost comes off as their convolution alone.
        """
        parents = self._parents(branches, maps)
        rows = self._rows(sums).index_select(0, parents)  # (n, B * h * w, out)
        most = max(0 if branch.cut is None else len(branch.cut.channels) for branch in branches)
        if most:
            kernels, patches = self._lost(stage, maps, branches, most)
            rows.baddbmm_(patches, kernels, alpha=-1)
        height, width = maps.shape[2:]
        found = rows.view(-1, height, width, rows.shape[2]).permute(0, 3, 1, 2)
        return self._prefix.rectified(stage, found)

    def _lost(
        self, stage: Conv, maps: Tensor, branches: list[_Branch], most: int
    ) -> tuple[Tensor, Tensor]:
        """Kernels (n, most * 9, out), and patches (n, B * h * w, most * 9) of what cuts take away.

        Of branches with fewer than `most` channels the rest of the patches is 0.
        """
        count, (height, width) = len(self._positions), maps.shape[2:]
        lost = maps.new_zeros((len(branches), count, height + 2, width + 2, most))
        channels = torch.zeros((len(branches), most), dtype=torch.int64, device=maps.device)
        for place, branch in enumerate(branches):
            if branch.cut is None:
                continue
            old = branch.cut.taken(maps[branch.parent * count :][:count])
            new = branch.cut.replaced(old, self._fills, self._positions)
            inner = lost[place, :, 1:-1, 1:-1, : old.shape[1]]
            torch.sub(old.permute(0, 2, 3, 1), _last(new), out=inner)
            channels[place, : old.shape[1]] = branch.cut.index
        patches = lost.flatten(0, 1).unfold(1, 3, 1).unfold(2, 3, 1)  # (n * B, h, w, most, 3, 3)
        kernels = self._kernel(stage, maps.dtype)[channels]  # (n, most, 9, out)
        shape = (len(branches), count * height * width, most * 9)
        return kernels.flatten(1, 2), patches.reshape(shape)

    def _kernel(self, stage: Conv, kind: torch.dtype) -> Tensor:
        """A convolution's weights as (in, 9, out)."""
        if stage.index not in self._kernels:
            module = self._network.module.features[stage.index]
            assert isinstance(module, nn.Conv2d)
            weights = module.weight.detach().to(kind)
            self._kernels[stage.index] = weights.permute(1, 2, 3, 0).flatten(1, 2).contiguous()
        return self._kernels[stage.index]

    def _is_few(self, stage: Conv | Pool, maps: Tensor, cut: Cut | None) -> bool:
        if isinstance(stage, Pool) or maps.dtype == torch.bfloat16:  # sums would be rounded first
            return False
        return cut is None or len(cut.channels) <= _FEW * maps.shape[1]

    def _batches(
        self, branches: list[_Branch], maps: Tensor, behind: Tensor
    ) -> Iterator[list[_Branch]]:
        """The branches in lots. maps, behind: what is before and behind the stage."""
        values = max(maps[0].numel(), behind[0].numel()) * len(self._positions)
        size = max(1, self._most // (values * maps.element_size()))
        for first in range(0, len(branches), size):
            yield branches[first : first + size]

    def _copied(self, maps: Tensor, branches: list[_Branch]) -> Tensor:
        """Each branch's maps, as its parent has them."""
        rows = self._rows(maps).index_select(0, self._parents(branches, maps))
        height, width = maps.shape[2:]
        return rows.view(-1, height, width, rows.shape[2]).permute(0, 3, 1, 2)

    def _cut(self, maps: Tensor, branches: list[_Branch]) -> None:
        """Do the branches' cuts to their maps, in place."""
        count = len(self._positions)
        for place, branch in enumerate(branches):
            if branch.cut is not None:
                own = maps[place * count :][:count]
                branch.cut.apply_(own, self._fills, self._positions)

    def _rows(self, maps: Tensor) -> Tensor:
        """(G * B, C, h, w) as (G, B * h * w, C), as they lie in memory."""
        lying = maps.permute(0, 2, 3, 1)
        return lying.reshape(
            -1, len(self._positions) * lying.shape[1] * lying.shape[2], len(maps[0])
        )

    def _parents(self, branches: list[_Branch], maps: Tensor) -> Tensor:
        return torch.tensor([branch.parent for branch in branches], device=maps.device)


def _last(values: Tensor) -> Tensor:
    """(B, c, h, w), or one value, with the channels last."""
    return values.permute(0, 2, 3, 1) if values.ndim else values
