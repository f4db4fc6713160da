"""The weights that a job runs on: `record_network` notes them before its first chunk is run."""

from collections.abc import Sequence

from beholder.errors import Conflict
from beholder.jobs.claim import Claim
from beholder.jobs.database import Database
from beholder.jobs.standing import all_standing


def record_network(
    database: Database, claims: Sequence[Claim], name: str, sha256: str
) -> dict[str, Conflict]:
    """Note which weights the claims' jobs run on; by token, those whose job began with others."""
    recorded = {claim.token: claim.network_sha256 or sha256 for claim in claims}
    first = [claim for claim in claims if claim.network_sha256 is None]
    if first:
        with database.write() as session:
            for token, (job, _) in all_standing(session, first).items():
                job.network_sha256 = recorded[token] = job.network_sha256 or sha256
    return {
        claim.token: Conflict(
            f"job {claim.job_id} began with weights {recorded[claim.token][:12]} of {name}, this "
            f"worker has {sha256[:12]}: give every worker the same file, or submit a new job."
        )
        for claim in claims
        if recorded[claim.token] != sha256
    }
