"""What a dream climbs: `parse_objective("conv5_1:100 + conv4_2:17*0.5 - tv*0.1")`.

`str` of what it gives is the canonical text. `science.objective` computes it; this loads no torch.
"""

import math
import re
from dataclasses import replace
from difflib import get_close_matches
from typing import NoReturn

from beholder.errors import InvalidInput, InvalidObjective
from beholder.layers import LAST_LAYER, LAYERS, find_layer, is_number, parse_channels
from beholder.terms import MEASURES, Measure, Objective, Place, Term

MAX_TERMS = 32
MAX_TEXT = 4_000
_OF_PLACES: tuple[Measure | None, ...] = (None, "norm", "squared", "mean", "direction")
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WORD = re.compile(r"\w+")
_DIGITS = re.compile(r"\d+")
_QUOTED = re.compile(r'"([^"]+)"')
# A dash makes a range unless what follows is a term of its own, as in "100-28:3", "3-2.5*28" or
# "9-2*conv4_2"; "0-7*2" is a range with a weight.
_RANGE = r"\d+(-\d+(?![\w.]|\s*:|\s*\*\s*([^\W\d]|\d+\s*[:@])))?"
_RUNS = re.compile(rf"{_RANGE}(\s*,\s*{_RANGE})*")
# A number that is no term of its own: "28*2:3" is twice a channel of layer 2.
_FACTOR = re.compile(rf"{_NUMBER.pattern}(?![\w.]|\s*[:@])")
_CENTER = re.compile("center", re.IGNORECASE)
_SHARE = re.compile(r"(\d+)\s*\*\s*(-?)\s*")
_STARTS = ("logit", "class", "tv", "l2", *MEASURES)


def parse_objective(text: str) -> Objective:
    """The objective of a text such as "conv5_1:100 + mean(conv4_2:17@center)*0.5 - tv*0.1".

    Raises InvalidObjective, which says at which character something else was expected.
    """
    if len(text) > MAX_TEXT:
        raise InvalidObjective(f"objective: {MAX_TEXT:,} characters at most; got {len(text):,}.")
    return _Reader(text).objective()


class _Reader:
    """Reads a text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def objective(self) -> Objective:
        terms: list[Term] = []
        sign = -1.0 if self._takes("-") else 1.0
        while True:
            begun = self._skipped()
            term = self._term()
            if term.weight == 0 or not math.isfinite(term.weight):
                self._fail("a weight other than 0", begun)
            terms.append(replace(term, weight=sign * term.weight))
            if self._skipped() == len(self._text):
                break
            if len(terms) == MAX_TERMS:
                self._fail(f"the end, after {MAX_TERMS} terms")
            if self._takes("+"):
                sign = 1.0
            elif self._takes("-"):
                sign = -1.0
            else:
                self._fail(self._after(terms[-1]))
        if all(term.picture is not None for term in terms):
            raise InvalidObjective(
                "objective: it looks at the picture alone; name a layer or a class too, as in "
                "conv5_1:100 - tv*0.1."
            )
        return Objective(tuple(terms))

    def _after(self, term: Term) -> str:
        """What may follow on a term."""
        if term.label is not None:
            return "+, - or *WEIGHT, with a name of several words in quotes"
        of_layer = term.layer is not None and term.measure is None
        more = ":CHANNELS, @ROW,COLUMN, " if of_layer and term.channels is None else ""
        return f"{more}+, - or *WEIGHT"

    def _term(self) -> Term:
        weight = self._weight_before()
        term = self._atom()
        if self._takes("*"):
            weight *= self._number("a weight such as 0.5")
        return replace(term, weight=weight)

    def _weight_before(self) -> float:
        """That of "0.5*conv5_1"; 1 where a number is a layer's, as in "28:3" or "28*0.5"."""
        begun = self._skipped()
        number = self._match(_NUMBER)
        if number is None or not self._takes("*"):
            self._at = begun
            return 1.0
        layer = _layer_at(number)
        behind = _FACTOR.match(self._text, self._skipped())
        if layer is None or behind is None:
            return float(number)
        other = _layer_at(behind[0])
        if other is not None:
            raise InvalidObjective(
                f"{self._where(begun)} {number}*{behind[0]} may mean two things: write "
                f"{layer}*{behind[0]} or {other}*{number}."
            )
        self._at = begun
        return 1.0

    def _atom(self) -> Term:
        begun = self._skipped()
        word = (self._match(_WORD) or self._fail("a layer, a measure or logit:CLASS")).lower()
        if word in ("tv", "l2"):
            return Term(picture="tv" if word == "tv" else "l2")
        if word in ("logit", "class"):
            self._expect(":", f"{word}:CLASS")
            return Term(label=self._label())
        for measure in MEASURES:
            if word == measure:
                self._expect("(", f"{word}(LAYER)")
                found = self._of_layer(measure)
                self._expect(")", ")")
                return found
        self._at = begun
        return self._of_layer(None)

    def _of_layer(self, measure: Measure | None) -> Term:
        layer = self._layer()
        term = Term(measure=measure, layer=layer)
        if measure == "direction":
            self._expect(
                ":", "CHANNEL*SHARE of a direction, as in direction(conv5_1:3*0.6,17*-0.8)"
            )
            term = self._direction(term)
        elif self._takes(":"):
            term = replace(term, channels=self._channels())
        if measure in _OF_PLACES and self._takes("@"):
            term = replace(term, place=self._place())
        return term

    def _layer(self) -> int:
        begun = self._skipped()
        word = self._match(_WORD) or self._fail("a layer such as conv5_1 or 28")
        try:
            return find_layer(word).index
        except InvalidInput as error:
            known = get_close_matches(word.lower()[:40], _STARTS, n=1, cutoff=0.75)
            if known:
                self._fail(f"a layer or a measure; did you mean {known[0]}", begun)
            raise InvalidObjective(f"{self._where(begun)} {error}") from None

    def _channels(self) -> tuple[int, ...]:
        begun = self._skipped()
        text = self._match(_RUNS) or self._fail("channels such as 17, 3,17 or 0-7")
        try:
            return tuple(sorted(parse_channels(text)))
        except InvalidInput as error:
            raise InvalidObjective(f"{self._where(begun)} {error}") from None

    def _direction(self, term: Term) -> Term:
        shares: dict[int, float] = {}
        while True:
            begun = self._skipped()
            found = _SHARE.match(self._text, begun)
            if found is None or len(found[1]) > 4:
                self._fail("CHANNEL*SHARE such as 17*-0.8")
            self._at = found.end()
            share = self._number("a share such as 0.6")
            if share == 0 or int(found[1]) in shares:
                self._fail("each channel once, with a share other than 0", begun)
            shares[int(found[1])] = -share if found[2] else share
            if not self._takes(","):
                return replace(term, channels=tuple(shares), shares=tuple(shares.values()))

    def _place(self) -> Place:
        begun = self._skipped()
        if self._match(_CENTER):
            return "center"
        row = self._match(_DIGITS)
        column = self._match(_DIGITS) if row and self._takes(",") else None
        if row is None or column is None or len(row + column) > 10:
            self._fail("ROW,COLUMN of the layer's map, or center", begun)
        return int(row), int(column)

    def _label(self) -> str:
        self._skipped()
        quoted = _QUOTED.match(self._text, self._at)
        if quoted:
            self._at = quoted.end()
            return quoted[1].strip() or self._fail("the name of a class", quoted.start())
        return self._match(_WORD) or self._fail('the name of a class, as kelpie or "ice cream"')

    def _number(self, wanted: str) -> float:
        begun = self._skipped()
        number = float(self._match(_NUMBER) or self._fail(wanted))
        return number if math.isfinite(number) else self._fail("a smaller number", begun)

    def _expect(self, mark: str, wanted: str) -> None:
        if not self._takes(mark):
            self._fail(wanted)

    def _takes(self, mark: str) -> bool:
        self._skipped()
        found = self._text.startswith(mark, self._at)
        self._at += len(mark) if found else 0
        return found

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self._text, self._skipped())
        if found is None:
            return None
        self._at = found.end()
        return found[0]

    def _skipped(self) -> int:
        """Where the next thing begins that is no space."""
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._at

    def _fail(self, wanted: str, at: int | None = None) -> NoReturn:
        begun = self._skipped() if at is None else at
        rest = self._text[begun : begun + 20]
        got = repr(rest) if rest else "the end"
        raise InvalidObjective(f"{self._where(begun)} expected {wanted}; got {got}.")

    def _where(self, at: int) -> str:
        return f"objective: at character {at + 1}:"


def _layer_at(number: str) -> str | None:
    """The name of the layer with this index, if there is one."""
    known = is_number(number) and int(number) <= LAST_LAYER
    return LAYERS[int(number)].name if known else None
