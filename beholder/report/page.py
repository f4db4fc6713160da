"""The report as one HTML file that asks for nothing else: `render_page`, `content_policy`."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from beholder import __version__
from beholder.evidence.document import ChannelEvidence, Evidence, Outcome
from beholder.evidence.names import Method
from beholder.report import selection, slopes, words
from beholder.report.axes import drawing
from beholder.report.cards import cards
from beholder.report.data import embedded, record_rows
from beholder.report.figures import drawn, fitting
from beholder.report.palette import DARK, LIGHT
from beholder.report.svg import inline_svg
from beholder.report.thumbs import data_uri

TEMPLATES = Path(__file__).parent / "templates"
MAX_CHANNELS, MAX_PICTURES, MAX_CONDITIONS = 200, 200, 300  # rows of tables; the JSON has all
_LARGE = 560  # pixels a figure, above which it takes the page's width
# Figures of sets that leave-one-out does not choose anew without each target.
_CHOSEN_IN_VIEW = ("dose-targets", "dose-others", "trade", "rivals", "keep", "matrix")
Channel = tuple[int, int]  # layer and channel


@dataclass(frozen=True)
class Material:
    """Small pictures, as WebP, to show beside the figures, and the archive of raw logits.

    faces: input pictures by SHA-256. exemplars: by channel, the pictures that drive it most, the
    strongest first. dreams: by channel, what it dreamt.
    """

    faces: Mapping[str, bytes] = field(default_factory=dict)
    exemplars: Mapping[Channel, Sequence[bytes]] = field(default_factory=dict)
    dreams: Mapping[Channel, Sequence[bytes]] = field(default_factory=dict)
    logits: bytes | None = None


def render_page(evidence: Evidence, material: Material | None = None) -> str:
    """The report as HTML."""
    shown = material or Material()
    return _environment().get_template("report.html").render(**_values(evidence, shown))


def content_policy() -> str:
    """What the page lets a browser do: show itself, and hand out its own data. Nothing else."""
    digest = base64.b64encode(hashlib.sha256(_text("report.js").encode()).digest()).decode("ascii")
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _values(evidence: Evidence, material: Material) -> dict[str, Any]:
    main = evidence.main
    tested = [row for role in words.ROLES for row in slopes.tested(evidence, role)]
    return {
        "evidence": evidence,
        "main": main,
        "figures": _figures(evidence),
        "chosen_in_view": _CHOSEN_IN_VIEW,
        "cards": list(cards(evidence)),
        "rivals": selection.rivals(evidence),
        "bands": [
            (label, band)
            for kind, label in selection.BANDS
            if (band := selection.band_at(evidence, kind))
        ],
        "conditions": _conditions(evidence),
        "intact_kept": selection.intact_kept,
        "others_drop": selection.others_drop,
        "channels": evidence.channels[:MAX_CHANNELS],
        "pictures": tested[:MAX_PICTURES],
        "tested": len(tested),
        "methods": _methods(evidence),
        "doses": [f"{dose:,}" for dose in sorted({one.dose for one in selection.chosen(evidence)})],
        "modes": list(dict.fromkeys(one.mode for one in evidence.outcomes if one.kind == "chosen")),
        "material": material,
        "record": list(record_rows(evidence.record)),
        "data": embedded(evidence, material.logits),
        "policy": content_policy(),
        "style": Markup(_style()),
        "script": Markup(_text("report.js")),
        "version": __version__,
    }


def _figures(evidence: Evidence) -> dict[str, dict[str, Any]]:
    """By name: title, meaning, and the drawing itself."""
    made = {}
    with drawing():
        for sort in fitting(evidence):
            svg = inline_svg(drawn(sort, evidence), sort.name, sort.describe(evidence))
            made[sort.name] = {
                "title": sort.title,
                "meaning": sort.meaning,
                "svg": Markup(svg),
                "large": sort.size(evidence)[0] > _LARGE,
            }
    return made


def _conditions(evidence: Evidence) -> list[Outcome]:
    """Every condition but single random draws, which the bands stand for."""
    shown = [one for one in evidence.outcomes if one.draw is None]
    return shown[:MAX_CONDITIONS]


def _methods(evidence: Evidence) -> list[Method]:
    """Those that chose anything, the headline's first."""
    found = [evidence.main.method, *(one.method for one in selection.chosen(evidence))]
    return list(dict.fromkeys(found))


def _channel_name(one: ChannelEvidence) -> str:
    return words.channel_name(one.layer, one.channel)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"words": words, "NONE": words.NONE, "EXPLORATORY": words.EXPLORATORY}
    environment.filters |= {
        "channel": _channel_name,
        "data_uri": data_uri,
        "lost": words.lost,
        "number": words.number,
        "percent": words.percent,
        "points": words.points,
        "sentence": words.sentence,
        "p": words.p_value,
    }
    return environment


@cache
def _style() -> str:
    """The page's style: colours first, then what uses them."""
    light, dark = (
        "".join(f"--{name}:{value};" for name, value in colours.items())
        for colours in (LIGHT, DARK)
    )
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{_text('report.css')}"
    )


@cache
def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
