"""Alembic's entry: runs on the connection that `beholder.jobs.schema` hands over."""

from alembic import context

from beholder.jobs import channel_models, service_models  # noqa: F401 - their tables, for Base
from beholder.jobs.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
