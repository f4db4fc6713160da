"""Reading what a sound study concluded from the store: `read_evidence`, its raw `read_logits`, the
`read_plan` behind it, `read_splits`, and `read_conclusion`.
"""

import hashlib

from pydantic import BaseModel, ValidationError

from beholder.errors import Conflict, InvalidInput, NotFound
from beholder.evidence.document import Conclusion, Evidence, LogitsFile
from beholder.evidence.names import CONCLUSION, LOGITS, Split
from beholder.jobs.views import JobView
from beholder.store import Store

SOUND = "sound"


class _Serving(BaseModel):
    position: int
    split: Split


class _Served(BaseModel):
    """Of a plan its pictures alone: the sets that it tries are a hundred times as many."""

    subjects: tuple[_Serving, ...] = ()


def read_evidence(store: Store, job: JobView, path: str | None) -> Evidence:
    """The evidence of this study, kept in the store at `path`; None where it has none yet.

    Raises InvalidInput for a dream, Conflict for a study that has no evidence, or not yet, and
    NotFound where the store has lost the file.
    """
    if path is None:
        raise _without(job)
    data = store.get(path)
    try:
        return Evidence.model_validate_json(data)
    except ValidationError:
        raise Conflict(
            f"the evidence of study {job.id} can't be read: it is damaged, or of another version "
            "of Beholder. Queue the study again."
        ) from None


def read_logits(store: Store, job: JobView, path: str | None) -> bytes:
    """The archive that the evidence at `path` names, as `beholder.evidence.logits` reads it.

    Raises as `read_evidence` does, and Conflict where it is not what the study has written.
    """
    told = read_evidence(store, job, path).logits
    data = whole_logits(store, logits_path(path or ""), told)
    if data is None:
        raise Conflict(
            f"the raw logits of study {job.id} are not what was written. Queue the study again."
        )
    return data


def read_plan(store: Store, job: JobView, evidence: str | None, plan: str | None) -> bytes:
    """The plan at `plan`, JSON as `beholder.evidence.plan.Plan` reads it, of what concluded.

    Raises as `read_evidence` does, and Conflict where it is not what the study has written.
    """
    told = read_evidence(store, job, evidence).record.get("plan")
    data = store.get(plan or "")
    if told and hashlib.sha256(data).hexdigest() != told["sha256"]:
        raise Conflict(
            f"the plan of study {job.id} is not what was written. Queue the study again."
        )
    return data


def read_splits(store: Store, path: str | None) -> dict[int, Split]:
    """What each picture serves by the plan at `path`, by position; none where it can't be read."""
    try:
        plan = _Served.model_validate_json(store.get(path)) if path else _Served()
    except (NotFound, ValidationError):
        return {}
    return {one.position: one.split for one in plan.subjects}


def whole_logits(store: Store, path: str, told: LogitsFile | None) -> bytes | None:
    """The archive at `path`; None where it is not the one that was told of. Raises NotFound."""
    data = store.get(path)
    same = told is not None and hashlib.sha256(data).hexdigest() == told.sha256
    return data if same else None


def logits_path(evidence: str) -> str:
    """Where the raw logits are whose evidence is kept here."""
    return f"{evidence.rpartition('/')[0]}/{LOGITS}"


def read_conclusion(store: Store, path: str | None) -> Conclusion | None:
    """What stands beside the evidence at `path`; None where there is none, or none to be read."""
    if path is None:
        return None
    folder = path.rpartition("/")[0]
    try:
        return Conclusion.model_validate_json(store.get(f"{folder}/{CONCLUSION}"))
    except (NotFound, ValidationError):
        return None


def _without(job: JobView) -> InvalidInput | Conflict:
    """Why there is none, and what to do."""
    if job.kind != "study":
        return InvalidInput(f"job {job.id} is a dream: only studies have evidence.")
    recipe = job.spec.get("recipe", "article")
    if recipe != SOUND:
        return Conflict(
            f"study {job.id} is of recipe {recipe}: it has no evidence; queue it with "
            f"--recipe {SOUND}."
        )
    if job.finished:
        return Conflict(
            f"study {job.id} is {job.state} without having concluded: `beholder show {job.id}` "
            "says why."
        )
    return Conflict(f"study {job.id} is not concluded yet: `beholder watch {job.id}` follows it.")
