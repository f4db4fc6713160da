"""What came of a job as a whole, beside its items: `overview_of`."""

from dataclasses import dataclass
from typing import Any

from beholder.jobs.database import Database
from beholder.jobs.queries import precisions_used, silent_dreams
from beholder.jobs.verdicts import Summary, chosen_by_layer, summary_of
from beholder.jobs.views import JobView, View


@dataclass(frozen=True)
class Overview(View):
    """silent: how many dreams changed nothing, of the first 10,000; precisions: how they were made.

    summary, chosen: a study's; chosen has a row a layer.
    """

    precisions: tuple[str, ...]
    silent: int
    summary: Summary
    chosen: tuple[dict[str, Any], ...]


def overview_of(database: Database, job: JobView) -> Overview:
    """Of a dream how it was made, of a study what it chose and how many kept their label."""
    if job.kind != "study":
        silent = silent_dreams(database, job.id)
        return Overview(tuple(precisions_used(database, job.id)), silent, Summary(), ())
    chosen = tuple(chosen_by_layer(database, job.id))
    return Overview((), 0, summary_of(database, job.id), chosen)
