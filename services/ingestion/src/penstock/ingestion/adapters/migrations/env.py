"""Alembic's entry: runs the migrations over the connection that `database.migrate` passes in."""

from alembic import context

from penstock.ingestion.adapters.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot change a column otherwise
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
