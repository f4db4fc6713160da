"""Which device a job asks for; what a worker was told, since when it is at its chunk, its rate."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("device", sa.String(3), nullable=False, server_default="any"))
    since = sa.Column("since", sa.DateTime(timezone=True), nullable=True)
    op.add_column("workers", since)
    op.add_column("workers", sa.Column("items", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("workers", sa.Column("rate", sa.Float(53), nullable=True))
    op.add_column("workers", sa.Column("told", sa.String(5), nullable=True))


def downgrade() -> None:
    for column in ("told", "rate", "items", "since"):
        op.drop_column("workers", column)
    op.drop_column("jobs", "device")
