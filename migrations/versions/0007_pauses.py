"""Why a worker has paused, for those who wait for their jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workers", sa.Column("paused", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("workers", "paused")
