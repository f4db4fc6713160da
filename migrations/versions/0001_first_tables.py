"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=9), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("network_sha256", sa.String(length=64), nullable=True),
        sa.Column("stage", sa.String(length=8), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("chunk_size", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("queued", sa.Integer(), nullable=False),
        sa.Column("running", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("cancelled", sa.Integer(), nullable=False),
        sa.Column("measured", sa.Integer(), nullable=False),
        sa.Column("target_pictures", sa.Integer(), nullable=True),
        sa.Column("control_pictures", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_created_at_id", "jobs", ["created_at", "id"])
    op.create_index("ix_jobs_kind_created_at_id", "jobs", ["kind", "created_at", "id"])
    op.create_index("ix_jobs_state_created_at_id", "jobs", ["state", "created_at", "id"])
    op.create_table(
        "pictures",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_pictures"),
    )
    op.create_table(
        "channels",
        sa.Column("job_id", sa.String(length=16), nullable=False),
        sa.Column("layer", sa.Integer(), nullable=False),
        sa.Column("channel", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("controls", sa.Integer(), nullable=False),
        sa.Column("mean", sa.Float(precision=53), nullable=False),
        sa.Column("deviation", sa.Float(precision=53), nullable=False),
        sa.Column("maximum", sa.Float(precision=53), nullable=False),
        sa.Column("control_mean", sa.Float(precision=53), nullable=True),
        sa.Column("control_deviation", sa.Float(precision=53), nullable=True),
        sa.Column("control_maximum", sa.Float(precision=53), nullable=True),
        sa.Column("chosen", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_channels_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "layer", "channel", name="pk_channels"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_channels_across", "channels", ["layer", "channel", "job_id"])
    op.create_index("ix_channels_top", "channels", ["job_id", "layer", "count", "chosen", "mean"])
    op.create_table(
        "chunks",
        sa.Column("id", _BIG, nullable=False),
        sa.Column("job_id", sa.String(length=16), nullable=False),
        sa.Column("stage", sa.String(length=8), nullable=False),
        sa.Column("first_position", sa.Integer(), nullable=False),
        sa.Column("last_position", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=9), nullable=False),
        sa.Column("token", sa.String(length=12), nullable=True),
        sa.Column("stale_tokens", sa.JSON(), nullable=False),
        sa.Column("lease_until", sa.Float(precision=53), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("progress", sa.Float(53), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("sent_at", sa.Float(precision=53), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("partial", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_chunks_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_chunks"),
    )
    op.create_index(
        "ix_chunks_job_id_state_first_position", "chunks", ["job_id", "state", "first_position"]
    )
    op.create_index("ix_chunks_state_lease_until", "chunks", ["state", "lease_until"])
    op.create_index("ix_chunks_state_sent_at", "chunks", ["state", "sent_at"])
    op.create_table(
        "items",
        sa.Column("id", _BIG, nullable=False),
        sa.Column("job_id", sa.String(length=16), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("picture_sha256", sa.String(length=64), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=8), nullable=True),
        sa.Column("group", sa.Text(), nullable=True),
        sa.Column("layer", sa.Integer(), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(length=9), nullable=False),
        sa.Column("measured", sa.Boolean(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("seconds", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_items_job_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["picture_sha256"], ["pictures.sha256"], name="fk_items_picture_sha256"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_items"),
    )
    op.create_index("ix_items_job_id_position", "items", ["job_id", "position"], unique=True)
    op.create_index("ix_items_job_id_state_position", "items", ["job_id", "state", "position"])
    op.create_table(
        "files",
        sa.Column("item_id", _BIG, nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["item_id"], ["items.id"], name="fk_files_item_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("item_id", "step", name="pk_files"),
    )
    op.create_table(
        "verdicts",
        sa.Column("item_id", _BIG, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("class_index", sa.Integer(), nullable=False),
        sa.Column("confidence", sa.Float(precision=53), nullable=False),
        sa.Column("top5", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["item_id"], ["items.id"], name="fk_verdicts_item_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("item_id", "kind", name="pk_verdicts"),
    )


def downgrade() -> None:
    for table in ("verdicts", "files", "items", "chunks", "channels", "pictures", "jobs"):
        op.drop_table(table)
