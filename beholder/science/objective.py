"""`Aim`: what an objective is worth to pictures, and its gradient for them.

One way forward to the deepest layer and one back, on which each term's gradient joins at its own
layer. Every picture's value and gradient are what they would be alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from beholder.labels import find_label
from beholder.layers import LAYERS, find_layer
from beholder.science.answers import Answers, Ask, by_picture
from beholder.science.ascent import MEMORY, Ascent
from beholder.science.measures import OF_PICTURES, measured
from beholder.science.networks import Network, channel_index, depth_of
from beholder.science.prefix import Precision
from beholder.terms import OF_A_GUIDE, Objective, Term

Looks = Mapping[int, Tensor]  # a guide's maps (R, C, h, w), by how many modules lead to them
_ALL = len(LAYERS)


@dataclass(frozen=True)
class Aim:
    """An objective on a network. Make it with `Aim.of`.

    terms: those of layers and classes, by how many modules lead to what they look at.
    """

    objective: Objective
    terms: Mapping[int, tuple[Term, ...]]
    ascents: tuple[tuple[Term, Ascent], ...]  # of terms that may go tile by tile, if all may
    answers: Answers

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

        wakes: see `Answers`. Raises InvalidChannel and InvalidSpec for what is not there.
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
            objective,
            terms,
            tuple(ascents),
            Answers.of(network, normalize=normalize, precision=precision, wakes=wakes),
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
        values, gradient = self.of_maps(pictures, looks=looks, full=full, on_share=on_share)
        return self.with_pictures(pictures, values, gradient)

    def of_maps(
        self,
        pictures: Tensor,
        *,
        looks: Looks | None = None,
        full: tuple[int, int] | None = None,
        on_share: Callable[[float], None] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The same without terms of the picture itself, for pictures that are moved about."""
        if self._in_tiles(pictures) or (self.objective.is_norm and not self.answers.wakes):
            values, gradient = self._by_ascent(pictures, on_share)
        else:
            asked = self._asked(looks or {}, full or _size(pictures))
            values, gradient = self.answers(pictures, asked)
        return values, gradient

    def with_pictures(
        self, pictures: Tensor, values: Tensor, gradient: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`values` and `gradient`, and what terms of the picture itself add at `pictures`."""
        for term in self.objective.terms:
            if term.picture is not None:
                measure = OF_PICTURES[term.picture]
                value, more = by_picture(pictures, [measure] * len(pictures))
                values, gradient = values + term.weight * value, gradient + term.weight * more
        return values, gradient

    @property
    def of_pictures(self) -> bool:
        """Whether a term is of the picture itself."""
        return any(term.picture is not None for term in self.objective.terms)

    @property
    def network(self) -> Network:
        return self.answers.network

    @property
    def precision(self) -> Precision:
        return self.answers.precision

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
        wanted = [
            depth
            for depth, terms in self.terms.items()
            if any(term.measure in OF_A_GUIDE for term in terms)
        ]
        rows = [self.answers.maps(row[None], wanted) for row in pictures]  # as each would be alone
        return {depth: torch.cat([row[depth] for row in rows]) for depth in wanted}

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

    def _asked(self, looks: Looks, full: tuple[int, int]) -> dict[int, Ask]:
        return {
            depth: partial(self._ask, terms, looks.get(depth), full)
            for depth, terms in self.terms.items()
        }

    def _ask(
        self,
        terms: Sequence[Term],
        guide: Tensor | None,
        full: tuple[int, int],
        row: int,
        maps: Tensor,
    ) -> Tensor:
        """The terms of one depth at the maps (C, h, w) of the picture at `row`, weighted.

        guide: maps (R, C, h, w) of one picture, or of as many as there are rows.
        """
        other = None if guide is None else guide[row if len(guide) > 1 else 0].to(maps)
        found = [term.weight * self._value(term, maps, other, full) for term in terms]
        return torch.stack(found).sum()

    def _value(
        self, term: Term, maps: Tensor, guide: Tensor | None, full: tuple[int, int]
    ) -> Tensor:
        if term.label is None:
            return measured(term, maps, guide, full)
        module = self.network.module
        flat = module.avgpool(maps[None]).flatten(1)
        logits: Tensor = _in_kind(module.classifier, flat)[0]
        return logits[int(term.label)]


def ask_each(
    aims: Sequence[Aim],
    pictures: Tensor,
    *,
    looks: Looks | None = None,
    full: tuple[int, int] | None = None,
) -> tuple[Tensor, Tensor]:
    """As an aim is called, of pictures that have one each: their own channels of the same layer."""
    first, *others = aims
    if all(aim is first for aim in others):
        return first(pictures, looks=looks, full=full)
    if first._in_tiles(pictures):
        apart = [aim(picture[None], full=full) for aim, picture in zip(aims, pictures, strict=True)]
        values, gradient = (torch.cat(parts) for parts in zip(*apart, strict=True))
        return values, gradient
    asked = [aim._asked(looks or {}, full or _size(pictures)) for aim in aims]

    def ask(depth: int, row: int, maps: Tensor) -> Tensor:
        return asked[row][depth](row, maps)

    return first.answers(pictures, {depth: partial(ask, depth) for depth in first.terms})


def _known(term: Term, network: Network) -> Term:
    """A term whose class is a number, if this network has what it asks for."""
    if term.layer is not None and term.channels is not None:
        channel_index(network, find_layer(term.layer), term.channels)
    if term.label is None:
        return term
    return replace(term, label=str(find_label(term.label, network.labels, "objective")))


def _depth(term: Term, *, pre_relu: bool) -> int:
    return _ALL if term.layer is None else depth_of(find_layer(term.layer), pre_relu=pre_relu)


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
