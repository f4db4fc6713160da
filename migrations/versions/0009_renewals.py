"""No index of what each renewal of a lease changes, so that Postgres has none to keep up with it.

Nobody asks for leases by their time (`beholder.jobs.silence`).
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_chunks_state_lease_until", "chunks")
    op.create_index("ix_chunks_state", "chunks", ["state"])


def downgrade() -> None:
    op.drop_index("ix_chunks_state", "chunks")
    op.create_index("ix_chunks_state_lease_until", "chunks", ["state", "lease_until"])
