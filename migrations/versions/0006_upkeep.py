"""What upkeep asks: which jobs are to be kept, and when a picture was last asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("kept", sa.Boolean(), nullable=True))
    op.add_column("pictures", sa.Column("used_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("pictures", "used_at")
    op.drop_column("jobs", "kept")
