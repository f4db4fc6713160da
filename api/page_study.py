"""What a study's page shows: two rows of verdicts, charts of shared channels, what was chosen."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from api import page_links as links
from api.page_charts import layer_charts
from api.services import Services
from beholder.evidence.names import Split
from beholder.evidence.stored import read_conclusion, read_splits
from beholder.jobs.channel_queries import channels
from beholder.jobs.exemplar_queries import strongest_of
from beholder.jobs.outcomes import Judgement
from beholder.jobs.queries import evidence_path, items, plan_path
from beholder.jobs.record_queries import effects_of
from beholder.jobs.record_views import EffectView
from beholder.jobs.verdicts import label_kept, summary_of
from beholder.jobs.views import ChannelView, ItemView, JobView
from beholder.layers import LAYERS

SHOWN = 60  # pictures of each role
BARS = 10  # channels of each layer's chart
_SERVED: dict[Split, str] = {
    "choose": "chose channels",
    "tune": "tuned the dose",
    "test": "test picture",
    "duplicate": "a copy, left out",
}


@dataclass(frozen=True)
class Subject:
    """A picture with its verdicts. kept: whether blinding left its label; None if not known.

    served: what a sound study took it for, in words; empty where that is not known.
    """

    source: str
    url: str
    error: str | None
    intact: Judgement | None
    blinded: Judgement | None
    kept: bool | None
    served: str


@dataclass(frozen=True)
class Chosen:
    """A blinded channel, and the picture of the study that drives it most.

    effect: what a sound study found of it.
    """

    view: ChannelView
    url: str
    effect: EffectView | None


def study_values(opened: Services, job: JobView) -> dict[str, Any]:
    """The template's values."""
    targets = list(items(opened.db, job.id, role="target", limit=SHOWN))
    siblings = list(items(opened.db, job.id, role="sibling", limit=SHOWN))
    controls = list(items(opened.db, job.id, role="control", limit=SHOWN))
    splits = read_splits(opened.store, plan_path(opened.db, job.id))
    chosen = _chosen(opened, job)
    groups = sorted({item.group or "" for item in targets} - {""})
    evidence = evidence_path(opened.db, job.id)
    return {
        "targets": [_subject(item, splits) for item in targets],
        "siblings": [_subject(item, splits) for item in siblings],
        "controls": [_subject(item, splits) for item in controls],
        "target_heading": f"Targets: {', '.join(groups)}" if groups else "Targets",
        "others_word": _others_word(bool(siblings), bool(controls)),
        "summary": summary_of(opened.db, job.id),
        "shown_pictures": SHOWN,
        "more_pictures": job.total > len(targets) + len(siblings) + len(controls),
        "charts": _charts(opened, job),
        "chosen": chosen,
        "conclusion": read_conclusion(opened.store, evidence),
        "report": links.report(job.id) if evidence else "",
        "blinded": sum(1 for _ in channels(opened.db, study=job.id, chosen=True)),
    }


def _others_word(siblings: bool, controls: bool) -> str:
    """What the pictures are that a summary counts as controls."""
    if siblings:
        return "siblings and controls" if controls else "siblings"
    return "controls"


def _subject(item: ItemView, splits: Mapping[int, Split]) -> Subject:
    intact, blinded = item.verdicts.get("intact"), item.verdicts.get("blinded")
    return Subject(
        source=item.source,
        url=links.picture(item.picture_sha256, thumb=links.FACE),
        error=item.error,
        intact=intact,
        blinded=blinded,
        kept=label_kept(item),
        served=_SERVED[splits[item.position]] if item.position in splits else "",
    )


def _charts(opened: Services, job: JobView) -> list[Any]:
    """A chart a layer; convolutions that are read after their ReLU are left to it."""
    if not job.target_pictures:
        return []
    both = bool(job.spec.get("pre_relu"))
    found = channels(opened.db, study=job.id, top=BARS)
    shown = [row for row in found if both or LAYERS[row.layer].kind != "conv"]
    return layer_charts(
        shown,
        targets=job.target_pictures,
        controls=job.control_pictures or 0,
        threshold=int(job.spec["threshold"]),
    )


def _chosen(opened: Services, job: JobView) -> list[Chosen]:
    """What was blinded, a sound study's best first.

    A convolution that is read after its ReLU is left to it.
    """
    both = bool(job.spec.get("pre_relu"))
    every = channels(opened.db, study=job.id, chosen=True)
    found = [row for row in every if both or LAYERS[row.layer].kind != "conv"]
    effects = effects_of(opened.db, job.id)
    if effects:
        found.sort(key=lambda row: row.rank or len(found))
    best = strongest_of(opened.db, job.id, {(row.layer, row.channel) for row in found})
    return [
        Chosen(
            row,
            links.picture(best.get((row.layer, row.channel)), thumb=links.THUMB),
            effects.get((row.layer, row.channel)),
        )
        for row in islice(found, 500)
    ]
