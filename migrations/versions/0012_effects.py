"""Which class a channel's effect is on, and by which method its study chose it."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("channel_effects", sa.Column("target", sa.Text(), nullable=True))
    op.add_column("channel_effects", sa.Column("method", sa.String(16), nullable=True))


def downgrade() -> None:
    for column in ("method", "target"):
        op.drop_column("channel_effects", column)
