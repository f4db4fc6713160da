"""The report's words: numbers as people read them, and what methods, modes and roles are called."""

from collections.abc import Iterable, Mapping
from typing import Any

from beholder.evidence.document import Band, Interval, Outcome
from beholder.evidence.names import Kind, Method, Mode, Role
from beholder.layers import LAYERS
from beholder.plurals import plural as plural  # the template's too

EXPLORATORY = "EXPLORATORY"
NONE = "–"
MINUS = "−"

_GAIN = "S = E[Σ a · ∂m/∂a] over the map"
_MARGIN = "m = target's logit − logsumexp of the others"
_CONTRAST = (
    f"S(target) − λ · Σ over other classes y of max(0, E[S(y) / max(1, m(y))]), {_GAIN}, {_MARGIN}"
)
_WEIGHED: tuple[Method, ...] = ("contrastive", "iterative")
METHODS: dict[Method, tuple[str, str]] = {
    "count": (
        "In how many target pictures the channel is among its layer's strongest; the published "
        "way.",
        "count = pictures in which the norm of the map is among the layer's top n",
    ),
    "effect": (
        "How far apart targets and others are, in deviations.",
        "d = (mean over targets − mean over others) / pooled deviation",
    ),
    "auroc": (
        "How often a target drives the channel more than another picture does.",
        "AUROC = U / (targets × others), U of Mann and Whitney",
    ),
    "gradient": (
        "What the channel adds to the target's margin, to first order: gradient times activation.",
        f"{_GAIN}, {_MARGIN}",
    ),
    "contrastive": (
        "What the channel adds to the target's margin, less what other pictures' classes need of "
        "it: of each of those the mean share of its own margin, where it helps (margins below 1 "
        "nat count as 1).",
        _CONTRAST,
    ),
    "iterative": (
        "The contrastive score, taken anew on the already blinded network after each few "
        "channels: so those are found, too, that only stood in for others.",
        f"{_CONTRAST}; S(target) of the network without the channels chosen so far",
    ),
    "single": (
        "What the target's margin loses when the channel alone is set to zero.",
        f"m(intact) − m(without the channel), {_MARGIN}",
    ),
    "random": (
        "Drawn by lot from the channels of all layers together; those that no target activates "
        "come last.",
        "uniform draws",
    ),
}
MODES: dict[Mode, str] = {
    "zero": "the channel's map is set to zero",
    "mean": "the map is replaced by the channel's mean over other pictures",
    "resample": "the map is replaced by the one that another, drawn picture has there",
    "scale": "the map is multiplied by a factor",
}
ROLES: dict[Role, str] = {
    "target": "targets",
    "sibling": "siblings",
    "control": "controls",
}
KINDS: dict[Kind, str] = {
    "chosen": "chosen",
    "random": "random, same layers",
    "matched": "random, same layers and strength",
    "keep": "all others ablated",
    "matrix": "chosen for another group",
    "alone": "one of them alone",
}


def percent(share: float | None) -> str:
    """ "1.9%"; "0%" and "100%" mean none and all, so what is only nearly that says so."""
    if share is None:
        return NONE
    if share in (0, 1):
        return f"{share:.0%}"
    if 0 < share < 0.0005:
        return "< 0.1%"
    return "> 99.9%" if 0.9995 <= share < 1 else f"{share:.1%}".replace("-", MINUS)


def points(share: float | None) -> str:
    """A difference of shares in percentage points: "+0.4", "−97.2"."""
    return NONE if share is None else _fixed(100 * share, 1, "+")


def lost(drop: float | None) -> str:
    """What was lost, in percentage points: "97.2"; below zero where something was won."""
    return NONE if drop is None else _fixed(100 * drop, 1)


def number(value: float | None, digits: int = 2) -> str:
    """A plain number of so many decimals."""
    return NONE if value is None else _fixed(value, digits)


def p_value(p: float | None) -> str:
    """ "0.012", "< 0.001"."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_sentence(p: float) -> str:
    """ "p = 0.012", "p < 0.001"."""
    return f"p {p_value(p)}" if p < 0.001 else f"p = {p_value(p)}"


def share_interval(interval: Interval | None) -> str:
    """ "1.9% (0.3 to 9.6)"."""
    if interval is None:
        return NONE
    return f"{percent(interval.value)} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def points_interval(interval: Interval | None) -> str:
    """ "+97.2 (93.0 to 99.1)", in percentage points."""
    if interval is None:
        return NONE
    return f"{points(interval.value)} ({_ends(100 * interval.low, 100 * interval.high, 1)})"


def number_interval(
    interval: Interval | None, digits: int = 2, *, value: float | None = None
) -> str:
    """ "−2.31 (−2.90 to −1.72)". value: what there is to say without an interval."""
    if interval is None:
        return number(value, digits)
    return f"{number(interval.value, digits)} ({_ends(interval.low, interval.high, digits)})"


def band_words(band: Band) -> str:
    """ "median 98.9%, central 95% 96.0% to 100%, of 199 draws"."""
    return (
        f"median {percent(band.median)}, central 95% {percent(band.low)} to {percent(band.high)}, "
        f"of {band.draws:,} draws"
    )


def layer_name(layer: int) -> str:
    """ "relu5_1"."""
    return LAYERS[layer].name


def channel_name(layer: int, channel: int) -> str:
    """ "relu5_1 : 17"."""
    return f"{layer_name(layer)} : {channel}"


def mode_name(mode: Mode, alpha: float) -> str:
    """ "zero", "scale by 0.5"."""
    return f"scale by {alpha:g}" if mode == "scale" else mode


def outcome_name(outcome: Outcome) -> str:
    """ "iterative, zero, 20": a condition for people, with its dose."""
    dose = f"{outcome.dose:,}" if outcome.pooled else f"{outcome.dose:,} a layer"
    said = [outcome.method, mode_name(outcome.mode, outcome.alpha), dose]
    if outcome.kind == "keep":
        said.append("kept alone")
    elif outcome.kind != "chosen":
        said.append(KINDS[outcome.kind])
    if outcome.of is not None:
        said.append(f"of {outcome.of}")
    if outcome.draw is not None:
        said.append(f"draw {outcome.draw}")
    return ", ".join(said)


def dose_words(record: Mapping[str, Any]) -> str:
    """Who picked the dose, of a study's record; nothing where that does not say."""
    dose = record.get("dose", {})
    if dose.get("by") == "name":
        return "So many were asked for."
    if dose.get("by") == "default":
        most = dose["largest_up_to"]
        return f"Nothing was tuned: of the doses it is the largest up to {most}, else the smallest."
    if dose.get("by") != "tuning":
        return ""
    targets, others = dose["tuned_on"]["targets"], dose["tuned_on"]["others"]
    recall, p = (f"{100 * dose[name]:g}%" for name in ("most_recall", "most_p_target"))
    return (
        f"So many were picked on {plural(targets, 'target')} and {plural(others, 'other picture')} "
        f"kept for tuning: of the doses that leave at most {recall} of those targets seen, and at "
        f"most {p} of probability for their class in the mean, the one that costs the others "
        "least; were there none, the most selective."
    )


def formula(method: Method, record: Mapping[str, Any]) -> str:
    """A method's, with the weight that the study's record says it was run with."""
    weight = record.get("choosing", {}).get("contrast_weight")
    said = METHODS[method][1]
    return f"{said}, λ = {weight:g}" if weight is not None and method in _WEIGHED else said


def listed(words: Iterable[str]) -> str:
    """ "a, b and c"."""
    every = list(words)
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}"


def sentence(text: str) -> str:
    """The text with a capital and a stop, so that another sentence can follow."""
    text = text.strip()
    stop = "" if text.endswith((".", "!", "?", "…")) else "."
    return f"{text[:1].upper()}{text[1:]}{stop}" if text else ""


def short(name: str, letters: int) -> str:
    """A name for a figure: at most so many letters, each of which can be drawn."""
    drawn = "".join(letter if letter.isprintable() else "?" for letter in name)
    return drawn if len(drawn) <= letters else f"{drawn[: letters - 1]}…"


def _ends(low: float, high: float, digits: int) -> str:
    return f"{_fixed(low, digits)} to {_fixed(high, digits)}"


def _fixed(value: float, digits: int, sign: str = "") -> str:
    """Rounded, with a true minus, and never minus zero."""
    rounded = round(value, digits) + 0.0
    return f"{rounded:{sign}.{digits}f}".replace("-", MINUS)
