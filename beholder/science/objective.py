"""`Aim`: what an objective is worth to pictures, and its gradient for them.

One way forward to the deepest layer and one back, on which each term's gradient joins at its own
layer. Every picture's value and gradient are what they would be alone.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial

import torch
from torch import Tensor, nn

from beholder.errors import InvalidObjective
from beholder.layers import LAYERS, find_layer, is_number
from beholder.science.ascent import MEMORY, Ascent
from beholder.science.inputs import input_step
from beholder.science.measures import OF_PICTURES, measured
from beholder.science.networks import Network, channel_index, depth_of
from beholder.science.prefix import Precision, Prefix, arithmetic, prefix_of
from beholder.terms import OF_A_GUIDE, Objective, Term

Looks = Mapping[int, Tensor]  # a guide's maps (R, C, h, w), by how many modules lead to them
_ALL = len(LAYERS)


@dataclass(frozen=True)
class Aim:
    """An objective on a network. Make it with `Aim.of`.

    terms: those of layers and classes, by how many modules lead to what they look at.
    wakes: where a term asks only for what is silent, its gradient is that without the layer's ReLU,
    as in lucid; else nothing would ever wake a silent channel.
    """

    network: Network
    objective: Objective
    terms: Mapping[int, tuple[Term, ...]]
    ascents: tuple[tuple[Term, Ascent], ...]  # of terms that may go tile by tile, if all may
    normalize: bool
    pre_relu: bool
    precision: Precision
    wakes: bool
    prefix: Prefix | None

    @classmethod
    def of(
        cls,
        network: Network,
        objective: Objective,
        *,
        normalize: bool = False,
        pre_relu: bool = False,
        precision: Precision = "float32",
        memory: int = MEMORY,
        wakes: bool = False,
    ) -> "Aim":
        """That of an objective whose terms all name their measures (`Objective.measured`).

        Raises InvalidChannel and InvalidObjective for what this network lacks.
        """
        terms: dict[int, tuple[Term, ...]] = {}
        for term in (_known(one, network) for one in objective.terms):
            if term.picture is None:
                depth = _depth(term, pre_relu=pre_relu)
                terms[depth] = (*terms.get(depth, ()), term)
        ascents = [
            (
                term,
                Ascent.of(
                    network,
                    term.layer,
                    term.channels,
                    normalize=normalize,
                    pre_relu=pre_relu,
                    precision=precision,
                    memory=memory,
                ),
            )
            for term in objective.terms
            if objective.tiles and term.layer is not None
        ]
        return cls(
            network=network,
            objective=objective,
            terms=terms,
            ascents=tuple(ascents),
            normalize=normalize,
            pre_relu=pre_relu,
            precision=precision,
            wakes=wakes,
            prefix=prefix_of(network.module, network.device, precision),
        )

    def __call__(
        self,
        pictures: Tensor,
        *,
        looks: Looks | None = None,
        full: tuple[int, int] | None = None,
        on_share: Callable[[float], None] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Each picture's value (B,), and its gradient (B, 3, H, W).

        looks: of `look`, for terms that go toward another picture: one for each of `pictures`, or
        one for all. full: height and width of the picture in which the terms' places are meant;
        None is these pictures'. on_share: called with how much of a gradient is done that is
        computed tile by tile. A value is NaN where a picture holds an infinity or NaN. Raises
        InvalidObjective for a place outside its map, InvalidSpec where a guide is missing.
        """
        if self._in_tiles(pictures) or (self.objective.is_norm and not self.wakes):
            values, gradient = self._by_ascent(pictures, on_share)
        else:
            values, gradient = self._at_once(pictures, looks or {}, full or _size(pictures))
        for term in self.objective.terms:
            if term.picture is not None:
                value, more = _by_picture(pictures, [OF_PICTURES[term.picture]] * len(pictures))
                values, gradient = values + term.weight * value, gradient + term.weight * more
        return values, gradient

    @property
    def guided(self) -> bool:
        """Whether a term goes toward another picture."""
        return bool(self.objective.measures.intersection(OF_A_GUIDE))

    @property
    def aligned(self) -> bool:
        """Whether a term compares each place with the same place of another picture."""
        return "caricature" in self.objective.measures

    def look(self, pictures: Tensor) -> dict[int, Tensor]:
        """What terms that go toward another picture see of `pictures` (R, 3, H, W)."""
        ready = input_step(self.normalize, self.network.device)(pictures.detach())
        wanted = [
            depth
            for depth, terms in self.terms.items()
            if any(term.measure in OF_A_GUIDE for term in terms)
        ]
        with torch.no_grad():
            rows = [self._maps(row[None], wanted) for row in ready]  # as each would be alone
        return {depth: torch.cat([row[depth] for row in rows]) for depth in wanted}

    def _maps(self, picture: Tensor, depths: Sequence[int]) -> Mapping[int, Tensor]:
        if self.prefix is None:
            return self._modules(picture, depths)
        found: dict[int, Tensor] = {}
        for index, maps in self.prefix.walk(picture, raw=self.pre_relu):
            if index + 1 in depths:
                found[index + 1] = maps.clone()
            if index + 1 == max(depths):
                break
        return found

    def _in_tiles(self, pictures: Tensor) -> bool:
        """Whether pictures are too large for a term to be looked at whole."""
        return any(ascent.in_tiles(*_size(pictures)) for _, ascent in self.ascents)

    def _by_ascent(
        self, pictures: Tensor, on_share: Callable[[float], None] | None
    ) -> tuple[Tensor, Tensor]:
        """Term by term: each is a norm, or half its square."""
        found: list[tuple[Tensor, Tensor]] = []
        count = len(self.ascents)
        for done, (term, ascent) in enumerate(self.ascents):
            share = None if on_share is None else partial(_share, on_share, done, count)
            norms, gradient = ascent(pictures, share)
            if term.measure == "squared":
                gradient = gradient.mul_(norms.view(-1, 1, 1, 1))
                norms = norms.square() / 2
            if term.weight != 1:
                norms, gradient = norms * term.weight, gradient.mul_(term.weight)
            found.append((norms, gradient))
        values, gradient = found[0]
        for value, more in found[1:]:
            values, gradient = values + value, gradient.add_(more)
        return values, gradient

    def _at_once(
        self, pictures: Tensor, looks: Looks, full: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        prepare = input_step(self.normalize, self.network.device)
        with torch.enable_grad():
            pictures = pictures.detach().requires_grad_()
            ready = prepare(pictures)
        if self.prefix is None:
            values, gradient = self._by_autograd(ready.detach(), looks, full)
        else:
            found: list[tuple[Tensor, Tensor]] = []
            first = 0
            for piece in self.prefix.pieces(ready.detach()):
                asked = {
                    depth: partial(self._ask, depth, looks.get(depth), first, full)
                    for depth in self.terms
                }
                found.append(self.prefix.answers(piece, asked))
                first += len(piece)
            values, gradient = (torch.cat(parts) for parts in zip(*found, strict=True))
        if ready is not pictures:
            (gradient,) = torch.autograd.grad(ready, pictures, gradient)
        sound = pictures.detach().isfinite().flatten(1).all(dim=1)
        return torch.where(sound, values, torch.nan), gradient

    def _by_autograd(
        self, pictures: Tensor, looks: Looks, full: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        with arithmetic(self.network.device, "float32"), torch.enable_grad():
            pictures.requires_grad_()
            maps = self._modules(pictures, self.terms)
            asked = [
                self._ask(depth, looks.get(depth), 0, full, one.detach())
                for depth, one in maps.items()
            ]
            gradients = [gradient for _, gradient in asked]
            (gradient,) = torch.autograd.grad(list(maps.values()), pictures, gradients)
        return torch.stack([value for value, _ in asked]).sum(dim=0), gradient

    def _modules(self, pictures: Tensor, depths: Collection[int]) -> Mapping[int, Tensor]:
        """The modules' own maps behind so many of them."""
        found: dict[int, Tensor] = {}
        maps = pictures
        for depth, module in enumerate(self.network.module.features[: max(depths)], 1):
            maps = module(maps)
            if depth in depths:
                found[depth] = maps.clone()  # a ReLU works in place
        return found

    def _ask(
        self, depth: int, guide: Tensor | None, first: int, full: tuple[int, int], maps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The terms at these maps (B, C, h, w), weighted, and their gradient for the maps.

        guide: maps (R, C, h, w); those of the picture in row 0 are at `first`, if there are many.
        """
        terms = self.terms[depth]

        def value_of(row: int, one: Tensor) -> Tensor:
            other = None if guide is None else guide[first + row if len(guide) > 1 else 0].to(one)
            found = [term.weight * self._value(term, one, other, full) for term in terms]
            return torch.stack(found).sum()

        values, gradient = _by_picture(maps, [partial(value_of, row) for row in range(len(maps))])
        layer = LAYERS[min(depth, _ALL) - 1]
        if layer.kind == "conv":
            return values, gradient
        stopped = torch.where(maps > 0, gradient, 0.0)
        if self.wakes:
            silent = ~stopped.flatten(1).any(dim=1)
            stopped = torch.where(silent.view(-1, 1, 1, 1), gradient, stopped)
        return values, stopped

    def _value(
        self, term: Term, maps: Tensor, guide: Tensor | None, full: tuple[int, int]
    ) -> Tensor:
        if term.label is None:
            return measured(term, maps, guide, full)
        module = self.network.module
        flat = module.avgpool(maps[None]).flatten(1)
        logits: Tensor = _in_kind(module.classifier, flat)[0]
        return logits[int(term.label)]


def _known(term: Term, network: Network) -> Term:
    """A term whose class is a number, if this network has what it asks for."""
    if term.layer is not None and term.channels is not None:
        channel_index(network, find_layer(term.layer), term.channels)
    if term.label is None:
        return term
    names = [label.casefold() for label in network.labels]
    wanted = term.label.casefold()
    if wanted in names:
        return replace(term, label=str(names.index(wanted)))
    if is_number(wanted) and int(wanted) < len(names):
        return term
    near = get_close_matches(wanted[:80], names, n=1, cutoff=0.6)
    hint = f" Did you mean {network.labels[names.index(near[0])]}?" if near else ""
    raise InvalidObjective(
        f"objective: {network.name} has no class {term.label[:80]!r}: write one of its "
        f"{len(names)} labels or a number from 0 to {len(names) - 1}.{hint}"
    )


def _depth(term: Term, *, pre_relu: bool) -> int:
    return _ALL if term.layer is None else depth_of(find_layer(term.layer), pre_relu=pre_relu)


def _by_picture(
    inputs: Tensor, functions: Sequence[Callable[[Tensor], Tensor]]
) -> tuple[Tensor, Tensor]:
    """Each function's value (B,) of its own row of `inputs` (B, ...), and its gradient for it."""
    kind = torch.promote_types(inputs.dtype, torch.float32)
    values, gradients = [], []
    for row, function in zip(inputs, functions, strict=True):
        with torch.enable_grad():
            one = row.detach().to(kind, memory_format=torch.contiguous_format).requires_grad_()
            value = function(one)
            (gradient,) = torch.autograd.grad(value, one)
        values.append(value.detach())
        gradients.append(gradient)
    return torch.stack(values), torch.stack(gradients)


def _in_kind(classifier: nn.Sequential, flat: Tensor) -> Tensor:
    """The classifier's answer in the type of `flat`, whatever its weights are in."""
    for module in classifier:
        if isinstance(module, nn.Linear):
            bias = None if module.bias is None else module.bias.to(flat)
            flat = nn.functional.linear(flat, module.weight.to(flat), bias)
        else:
            flat = module(flat)
    return flat


def _size(pictures: Tensor) -> tuple[int, int]:
    height, width = pictures.shape[2:]
    return height, width


def _share(on_share: Callable[[float], None], done: int, count: int, share: float) -> None:
    on_share((done + share) / count)
