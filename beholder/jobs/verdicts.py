"""A study's outcome: intact against blinded, a row a picture, and the count of labels kept."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session, aliased

from beholder.jobs.channel_queries import channels
from beholder.jobs.database import Database
from beholder.jobs.models import Item, Job, Verdict
from beholder.jobs.views import ItemView


@dataclass(frozen=True)
class Summary:
    """How many pictures kept their label, of those that have both verdicts.

    What the intact network saw is a picture's label. A sound study says it of test pictures once it
    has concluded, and there a target's label is the target's, whatever the network took it for.
    """

    targets: int = 0
    targets_kept: int = 0
    controls: int = 0
    controls_kept: int = 0

    def words(self) -> str:
        """ "target class kept: 1 of 5; controls kept: 5 of 5"."""
        parts = [f"target class kept: {self.targets_kept:,} of {self.targets:,}"]
        if self.controls:
            parts.append(f"controls kept: {self.controls_kept:,} of {self.controls:,}")
        return "; ".join(parts)

    def row(self) -> dict[str, int]:
        """For JSON."""
        return asdict(self)


_SUMMARY = (Job.targets_judged, Job.targets_kept, Job.controls_judged, Job.controls_kept)


def summary_of(database: Database, study: str) -> Summary:
    """The summary of a study, by its full id, so far; read off its job."""
    with database.read() as session:
        row = session.execute(select(*_SUMMARY).where(Job.id == study)).first()
    return Summary(*row) if row else Summary()


def store_summary(job: Job, summary: Summary) -> None:
    """In place of what the job's summary was."""
    job.targets_judged, job.targets_kept = summary.targets, summary.targets_kept
    job.controls_judged, job.controls_kept = summary.controls, summary.controls_kept


def count_kept(session: Session, job: Job, item_ids: Collection[int]) -> None:
    """Add items of a locked job that have just got their second verdict to its summary."""
    intact, blinded = aliased(Verdict), aliased(Verdict)
    kept = func.sum(case((intact.label == blinded.label, 1), else_=0))
    statement = (
        select(Item.role, func.count(), kept)
        .join(intact, (intact.item_id == Item.id) & (intact.kind == "intact"))
        .join(blinded, (blinded.item_id == Item.id) & (blinded.kind == "blinded"))
        .where(Item.id.in_(item_ids))
        .group_by(Item.role)
    )
    for role, both, same in session.execute(statement):
        if role == "target":
            job.targets_judged += both
            job.targets_kept += same
        else:
            job.controls_judged += both
            job.controls_kept += same


def label_kept(item: ItemView) -> bool | None:
    """Whether blinding left the label as it was; None while a verdict is missing."""
    intact, blinded = item.verdicts.get("intact"), item.verdicts.get("blinded")
    return None if intact is None or blinded is None else intact.label == blinded.label


def verdict_row(item: ItemView) -> dict[str, Any]:
    """A picture's row in JSON. Confidences are in 0..1."""
    row: dict[str, Any] = {"source": item.source, "role": item.role, "group": item.group}
    for kind in ("intact", "blinded"):
        verdict = item.verdicts.get(kind)
        row[kind] = None if verdict is None else verdict.label
        row[f"{kind}_confidence"] = None if verdict is None else verdict.confidence
    return {**row, "kept": label_kept(item)}


def chosen_by_layer(db: Database, study: str) -> list[dict[str, Any]]:
    """The blinded channels, a row a layer, most common first."""
    rows: dict[int, dict[str, Any]] = {}
    for channel in channels(db, study=study, chosen=True):
        start = {"layer": channel.layer, "layer_name": channel.layer_name, "channels": []}
        rows.setdefault(channel.layer, start)["channels"].append(channel.channel)
    return list(rows.values())


def blinded_words(chosen: Sequence[dict[str, Any]]) -> str:
    """ "68 channels blinded in 17 layers"."""
    count = sum(len(row["channels"]) for row in chosen)
    return f"{count:,} channels blinded in {len(chosen)} layers"
