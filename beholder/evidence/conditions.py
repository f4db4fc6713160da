"""The ablations that a sound study tries: those `of_rankings`, `alone` each channel of the set that
it is about, and `random_sets` beside them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from beholder.errors import InvalidInput
from beholder.evidence.names import Kind, Method, Mode
from beholder.evidence.plan import Condition, Ranked
from beholder.layers import LAYERS
from beholder.specs import StudySpec

Channels = dict[int, tuple[int, ...]]


def first(ranking: Iterable[Ranked], dose: int, *, per_layer: bool = False) -> Channels:
    """The best `dose` channels of a ranking, of all layers together or of each."""
    found: dict[int, list[int]] = {}
    left = dose
    for ranked in ranking:
        of_layer = found.setdefault(ranked.layer, [])
        if len(of_layer) < dose and (per_layer or left):
            of_layer.append(ranked.channel)
            left -= 1
    return {layer: tuple(channels) for layer, channels in sorted(found.items()) if channels}


def doses_of(spec: StudySpec, ranking: Sequence[Ranked]) -> list[int]:
    """What was asked for, ascending; a dose that the ranking can't fill is all that it has.

    Raises InvalidInput where it has none.
    """
    if not ranking:
        raise InvalidInput(
            "no channel does anything for the target: lower --min-layer, or take another --target."
        )
    asked = {*spec.doses, *filter(None, [spec.dose])}
    most = largest_dose(ranking, per_layer=spec.per_layer)
    return sorted({min(dose, most) for dose in asked})


def largest_dose(ranking: Sequence[Ranked], *, per_layer: bool) -> int:
    """The one that differs from all larger ones, of a ranking that has any."""
    layers = Counter(ranked.layer for ranked in ranking)
    return max(layers.values()) if per_layer else len(ranking)


def condition(
    spec: StudySpec,
    channels: Channels,
    dose: int,
    *,
    kind: Kind = "chosen",
    method: Method | None = None,
    mode: Mode | None = None,
    of: str | None = None,
    fold: int | None = None,
    draw: int | None = None,
    note: str = "",
) -> Condition:
    """One of them; what is left out is the headline's. Its name, with a `note`, is its alone."""
    method, mode = method or spec.method, mode or spec.mode
    words: list[str] = [method, mode, str(dose)]
    words += [kind] * (kind != "chosen")
    words += [] if of is None else [of]
    words += [] if fold is None else [f"fold {fold}"]
    words += [] if draw is None else [f"draw {draw}"]
    words += [note] * bool(note)
    return Condition(
        name="/".join(words),
        kind=kind,
        method=method,
        mode=mode,
        alpha=spec.alpha if mode == "scale" else 0.0,
        dose=dose,
        pooled=not spec.per_layer,
        draw=draw,
        of=of,
        fold=fold,
        channels=channels,
    )


def of_rankings(
    spec: StudySpec, rankings: Mapping[Method, Sequence[Ranked]], dose: int
) -> Iterator[Condition]:
    """The headline, its other doses, its other modes, the other methods, and keeping it alone.

    Each dose is kept alone too: from how many channels on do they suffice?
    """
    ranking = rankings[spec.method]

    def take(ranked: Sequence[Ranked], size: int) -> Channels:
        return first(ranked, size, per_layer=spec.per_layer)

    yield condition(spec, take(ranking, dose), dose)
    for other in doses_of(spec, ranking):
        if other != dose:
            yield condition(spec, take(ranking, other), other)
    for mode in spec.modes[1:]:
        yield condition(spec, take(ranking, dose), dose, mode=mode)
    for method in spec.methods[1:]:
        yield condition(spec, take(rankings[method], dose), dose, method=method)
    for size in doses_of(spec, ranking):
        yield condition(spec, take(ranking, size), size, kind="keep")


def alone(spec: StudySpec, channels: Channels) -> Iterator[Condition]:
    """Each of the channels by itself."""
    for layer, picked in channels.items():
        for channel in picked:
            note = f"{LAYERS[layer].name}:{channel}"
            yield condition(spec, {layer: (channel,)}, 1, kind="alone", note=note)


def random_sets(
    spec: StudySpec,
    kind: Kind,
    dose: int,
    sets: Iterable[Mapping[int, Sequence[int]]],
    *,
    mode: Mode | None = None,
    of: Method | None = None,
) -> Iterator[Condition]:
    """Draws to hold the headline against, its other doses and modes, or the set `of` a method."""
    for draw, channels in enumerate(sets):
        found = {layer: tuple(picked) for layer, picked in channels.items()}
        yield condition(spec, found, dose, kind=kind, method="random", mode=mode, of=of, draw=draw)
