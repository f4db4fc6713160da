"""The strongest pictures of each channel in each study."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "exemplars",
        sa.Column("job_id", sa.String(length=16), nullable=False),
        sa.Column("layer", sa.Integer(), nullable=False),
        sa.Column("channel", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("strength", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_exemplars_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "layer", "channel", "rank", name="pk_exemplars"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("exemplars")
