"""What merges over studies: strengths by class, effects, and which part of a picture drives."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_REGION = ("left", "top", "right", "bottom")


def upgrade() -> None:
    op.create_table(
        "study_classes",
        sa.Column("job_id", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=8), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("pictures", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_study_classes_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "number", name="pk_study_classes"),
    )
    op.create_table(
        "channel_classes",
        sa.Column("job_id", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("layer", sa.Integer(), nullable=False),
        sa.Column("channel", sa.Integer(), nullable=False),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.Column("sum", sa.Float(precision=53), nullable=False),
        sa.Column("squares", sa.Float(precision=53), nullable=False),
        sa.Column("maximum", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_channel_classes_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "number", "layer", "channel", name="pk_channel_classes"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "channel_effects",
        sa.Column("job_id", sa.String(length=16), nullable=False),
        sa.Column("layer", sa.Integer(), nullable=False),
        sa.Column("channel", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("score", sa.Float(precision=53), nullable=True),
        *(
            sa.Column(f"{role}effect{end}", sa.Float(precision=53), nullable=True)
            for role in ("", "control_")
            for end in ("", "_low", "_high")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_channel_effects_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "layer", "channel", name="pk_channel_effects"),
    )
    op.create_index("ix_channel_effects_layer_channel", "channel_effects", ["layer", "channel"])
    op.add_column("channels", sa.Column("correlated", sa.JSON(), nullable=True))
    kind = sa.Column("kind", sa.String(length=9), nullable=False, server_default="strongest")
    op.add_column("exemplars", kind)
    for side in _REGION:
        op.add_column("exemplars", sa.Column(side, sa.Float(precision=53), nullable=True))


def downgrade() -> None:
    # Of strongest pictures alone: older versions take every row for one.
    op.execute("DELETE FROM exemplars WHERE kind <> 'strongest'")
    for side in reversed(_REGION):
        op.drop_column("exemplars", side)
    op.drop_column("exemplars", "kind")
    op.drop_column("channels", "correlated")
    for table in ("channel_effects", "channel_classes", "study_classes"):
        op.drop_table(table)
