"""What an `Objective` is made of: a weighted sum of `Term`s. `objective` reads its text."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from beholder.labels import find_label
from beholder.layers import LAST_LAYER, LAYERS, numbers_text
from beholder.networks import check_channels_of

Measure = Literal["norm", "squared", "mean", "diversity", "caricature", "guide", "direction"]
Plain = Literal["norm", "squared", "mean", "caricature", "guide"]  # of a term that names none
Place = tuple[int, int] | Literal["center"]

MEASURES: tuple[Measure, ...] = get_args(Measure)
OF_A_GUIDE: tuple[Measure, ...] = ("caricature", "guide")


@dataclass(frozen=True)
class Term:
    """A weight, and what it is of: exactly one of a layer, a class, and the picture itself.

    measure: what makes one number of a layer's maps; None takes the recipe's.
    channels: those that count; None takes all. shares: of a direction, a number for each of them.
    place: row and column of the layer's map, as it is for the picture's full size.
    label: a class's name, or its number in digits. picture: "tv" or "l2".
    """

    weight: float = 1.0
    measure: Measure | None = None
    layer: int | None = None
    channels: tuple[int, ...] | None = None
    shares: tuple[float, ...] = ()
    place: Place | None = None
    label: str | None = None
    picture: Literal["tv", "l2"] | None = None

    def __str__(self) -> str:
        """Without its weight."""
        if self.picture is not None:
            return self.picture
        if self.label is not None:
            return f"logit:{_quoted(self.label)}"
        assert self.layer is not None
        text = LAYERS[self.layer].name
        if self.shares:
            pairs = zip(self.channels or (), self.shares, strict=True)
            text += ":" + ",".join(f"{channel}*{number_text(share)}" for channel, share in pairs)
        elif self.channels is not None:
            text += f":{numbers_text(self.channels)}"
        if self.place is not None:
            text += "@center" if self.place == "center" else f"@{self.place[0]},{self.place[1]}"
        return f"{self.measure}({text})" if self.measure else text


@dataclass(frozen=True)
class Objective:
    """The sum of its terms, each times its weight."""

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        """The canonical text, which `parse_objective` reads back as the same objective."""
        text = ""
        for term in self.terms:
            size = abs(term.weight)
            written = str(term) if size == 1 else f"{term}*{number_text(size)}"
            sign = "-" if term.weight < 0 else "+"
            text += f" {sign} {written}" if text else f"-{written}" if sign == "-" else written
        return text

    @property
    def layer(self) -> int:
        """How far down the network it looks; the last layer where it asks for a class."""
        if any(term.label is not None for term in self.terms):
            return LAST_LAYER
        return max(term.layer for term in self.terms if term.layer is not None)

    def measured(self, measure: Plain) -> "Objective":
        """The same with this measure for layers whose terms name none."""
        return Objective(
            tuple(
                replace(term, measure=measure)
                if term.layer is not None and term.measure is None
                else term
                for term in self.terms
            )
        )

    @property
    def measures(self) -> set[Measure]:
        """Those that its terms name."""
        return {term.measure for term in self.terms if term.measure is not None}

    @property
    def is_norm(self) -> bool:
        """Whether it is one layer's norm and nothing else."""
        (first, *others) = self.terms
        return not others and first.weight == 1 and _whole(first, "norm")

    @property
    def tiles(self) -> bool:
        """Whether it is of sums of squares, which add up over a picture's tiles."""
        return all(
            term.picture is not None or _whole(term, "norm", "squared") for term in self.terms
        )

    def misplaced(self, width: int, height: int) -> str | None:
        """Why a place is not in its map of a picture of this size, or None if all are."""
        for term in self.terms:
            if term.layer is None or term.place is None or term.place == "center":
                continue
            layer, (row, column) = LAYERS[term.layer], term.place
            rows, columns = height // layer.stride, width // layer.stride
            if row >= rows or column >= columns:
                return (
                    f"objective: {layer.name} has rows 0-{rows - 1} and columns 0-{columns - 1} of "
                    f"{width} x {height} pixels; got {row},{column}"
                )
        return None

    def too_few_places(self, width: int, height: int) -> str | None:
        """Why maps of a picture of this size can't be cut into quarters, or None if they can."""
        for term in self.terms:
            if term.measure == "diversity" and term.layer is not None:
                layer = LAYERS[term.layer]
                if min(width, height) < 2 * layer.stride:
                    return (
                        f"objective: diversity compares quarters of {layer.name}'s maps, which "
                        f"takes {2 * layer.stride} pixels a side; the smallest octave has "
                        f"{width} x {height}"
                    )
        return None

    def check_channels(self, network: str) -> None:
        """Raise InvalidChannel if a layer lacks one in this network, as far as that is known."""
        for term in self.terms:
            if term.layer is not None and term.channels is not None:
                check_channels_of(network, LAYERS[term.layer], term.channels)

    def check_labels(self, labels: Sequence[str] | None) -> None:
        """Raise InvalidSpec for a class that is not among these; nobody knows, where None is."""
        for term in self.terms:
            if labels is not None and term.label is not None:
                find_label(term.label, labels, "objective")


def objective_of(layer: int, channels: Sequence[int] | None) -> Objective:
    """That of a layer, or of these of its channels."""
    return Objective((Term(layer=layer, channels=None if channels is None else tuple(channels)),))


def number_text(number: float) -> str:
    """As short as reads back as the same: "0.5", "2", "1e-05"."""
    return repr(number).removesuffix(".0")


def _whole(term: Term, *measures: Measure) -> bool:
    """Whether a term takes one of these measures of whole maps."""
    return term.measure in measures and term.place is None


def _quoted(label: str) -> str:
    plain = all(letter.isalnum() or letter == "_" for letter in label)
    return label if plain and label else '"' + label + '"'
