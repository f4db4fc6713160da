"""A study's outcome: intact against blinded, a row a picture, and the count of labels kept."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from beholder.jobs.views import ItemView

if TYPE_CHECKING:
    from beholder.jobs.database import Database


@dataclass
class Summary:
    """How many pictures kept their label, of those that have both verdicts."""

    targets: int = 0
    targets_kept: int = 0
    controls: int = 0
    controls_kept: int = 0

    def add(self, item: ItemView) -> None:
        """Count a picture, if it has been classified both ways."""
        kept = label_kept(item)
        if kept is None:
            return
        if item.role == "control":
            self.controls += 1
            self.controls_kept += kept
        else:
            self.targets += 1
            self.targets_kept += kept

    def words(self) -> str:
        """ "target class kept: 1 of 5; controls kept: 5 of 5"."""
        parts = [f"target class kept: {self.targets_kept:,} of {self.targets:,}"]
        if self.controls:
            parts.append(f"controls kept: {self.controls_kept:,} of {self.controls:,}")
        return "; ".join(parts)

    def row(self) -> dict[str, int]:
        """For JSON."""
        return asdict(self)


def summary_of(items: Iterable[ItemView]) -> Summary:
    """The summary of all of a study's items."""
    summary = Summary()
    for item in items:
        summary.add(item)
    return summary


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


def chosen_by_layer(db: "Database", study: str) -> list[dict[str, Any]]:
    """The blinded channels, a row a layer, most common first."""
    from beholder.jobs.channel_queries import channels

    rows: dict[int, dict[str, Any]] = {}
    for channel in channels(db, study=study, chosen=True):
        start = {"layer": channel.layer, "layer_name": channel.layer_name, "channels": []}
        rows.setdefault(channel.layer, start)["channels"].append(channel.channel)
    return list(rows.values())


def blinded_words(chosen: list[dict[str, Any]]) -> str:
    """ "68 channels blinded in 17 layers"."""
    count = sum(len(row["channels"]) for row in chosen)
    return f"{count:,} channels blinded in {len(chosen)} layers"
