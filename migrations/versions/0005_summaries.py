"""A study's summary on its job, kept in step, and an index of its controls."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COUNTS = ("targets_judged", "targets_kept", "controls_judged", "controls_kept")
# Of the studies that are there: what their verdicts say.
COUNTED = """
UPDATE jobs SET {role}s_{what} = (
    SELECT count(*) FROM items
    JOIN verdicts intact ON intact.item_id = items.id AND intact.kind = 'intact'
    JOIN verdicts blinded ON blinded.item_id = items.id AND blinded.kind = 'blinded'
    WHERE items.job_id = jobs.id AND items.role = '{role}'{condition}
) WHERE kind = 'study'"""


def upgrade() -> None:
    for name in COUNTS:
        op.add_column("jobs", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    controls = sa.text("role = 'control'")
    op.create_index(
        "ix_items_controls",
        "items",
        ["job_id", "position"],
        sqlite_where=controls,
        postgresql_where=controls,
    )
    for role in ("target", "control"):
        for what, condition in (("judged", ""), ("kept", " AND intact.label = blinded.label")):
            op.execute(COUNTED.format(role=role, what=what, condition=condition))


def downgrade() -> None:
    op.drop_index("ix_items_controls", "items")
    for name in reversed(COUNTS):
        op.drop_column("jobs", name)
