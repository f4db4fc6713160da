"""Whose turn it is: priorities, turns and shared batches, where messages named chunks before."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_jobs_round": ["finished_at", "priority", "turn", "created_at"],
    "ix_jobs_batch": ["finished_at", "batch_key", "priority", "turn", "created_at"],
    "ix_jobs_turn": ["turn"],
}


def upgrade() -> None:
    op.drop_index("ix_chunks_state_sent_at", "chunks")
    op.drop_column("chunks", "sent_at")
    op.add_column("chunks", sa.Column("layer", sa.Integer(), nullable=True))
    op.create_index(
        "ix_chunks_job_id_state_layer_first_position",
        "chunks",
        ["job_id", "state", "layer", "first_position"],
    )
    for column in (
        sa.Column("priority", sa.SmallInteger(), nullable=False, server_default="1"),
        sa.Column("turn", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("batch_key", sa.String(length=16), nullable=True),
        sa.Column("unsettled", sa.Boolean(), nullable=True),
    ):
        op.add_column("jobs", column)
    for name, columns in INDEXES.items():
        op.create_index(name, "jobs", columns)
    some = sa.text("unsettled IS NOT NULL")
    op.create_index(
        "ix_jobs_unsettled", "jobs", ["unsettled"], sqlite_where=some, postgresql_where=some
    )


def downgrade() -> None:
    for name in ("ix_jobs_unsettled", *INDEXES):
        op.drop_index(name, "jobs")
    for name in ("unsettled", "batch_key", "turn", "priority"):
        op.drop_column("jobs", name)
    op.drop_index("ix_chunks_job_id_state_layer_first_position", "chunks")
    op.drop_column("chunks", "layer")
    op.add_column("chunks", sa.Column("sent_at", sa.Float(precision=53), nullable=True))
    op.create_index("ix_chunks_state_sent_at", "chunks", ["state", "sent_at"])
