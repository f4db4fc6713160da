"""`conclude`: put evidence where a sound study's last stage leaves it."""

from beholder.evidence.document import Evidence
from beholder.evidence.names import CONCLUSION, EVIDENCE, LOGITS, PLAN
from beholder.jobs.database import Database
from beholder.jobs.models import Chunk
from beholder.jobs.queries import evidence_path
from beholder.store import Store, result_folder
from tests.report.synthetic import make_logits


def conclude(
    db: Database,
    store: Store,
    job_id: str,
    evidence: Evidence,
    *,
    token: str = "c0ncluded",
    plan: bytes = b"{}",
) -> str:
    """As the worker with this token does it; the path in the store."""
    folder = result_folder(job_id, token)
    store.put(f"{folder}/{PLAN}", plan)
    store.put(f"{folder}/{LOGITS}", make_logits().to_bytes())
    store.put(f"{folder}/{EVIDENCE}", evidence.model_dump_json().encode())
    store.put(f"{folder}/{CONCLUSION}", evidence.conclusion.model_dump_json().encode())
    with db.write() as session:
        session.add_all(
            Chunk(
                job_id=job_id,
                stage=stage,
                first_position=0,
                last_position=0,
                state="done",
                partial=folder,
            )
            for stage in ("choose", "conclude")
        )
    path = evidence_path(db, job_id)
    assert path is not None
    return path
