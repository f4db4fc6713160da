"""What came of a job as a whole, beside its items: `overview_of`."""

from dataclasses import dataclass
from typing import Any

from beholder.evidence.stored import read_conclusion
from beholder.jobs.database import Database
from beholder.jobs.queries import evidence_path, precisions_used, silent_dreams
from beholder.jobs.verdicts import Summary, chosen_by_layer, summary_of
from beholder.jobs.views import JobView, View
from beholder.store import Store


@dataclass(frozen=True)
class Overview(View):
    """silent: how many dreams changed nothing, of the first 10,000; precisions: how they were made.

    summary, chosen: a study's; chosen has a row a layer. conclusion: of a sound study that has
    concluded its `sentence`, why it is `exploratory`, and its `caveats`.
    """

    precisions: tuple[str, ...]
    silent: int
    summary: Summary
    chosen: tuple[dict[str, Any], ...]
    conclusion: dict[str, Any] | None = None


def overview_of(database: Database, store: Store, job: JobView) -> Overview:
    """Of a dream how it was made, of a study what it chose and how many kept their label."""
    if job.kind != "study":
        silent = silent_dreams(database, job.id)
        return Overview(tuple(precisions_used(database, job.id)), silent, Summary(), ())
    chosen = tuple(chosen_by_layer(database, job.id))
    concluded = read_conclusion(store, evidence_path(database, job.id))
    conclusion = concluded.model_dump(mode="json") if concluded else None
    return Overview((), 0, summary_of(database, job.id), chosen, conclusion)
