"""Alembic's entry, for all services: runs migrations over the connection that `migrate` passes in."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    transactional_ddl=True,  # also SQLite's, since its driver begins no transactions of its own here
)
with context.begin_transaction():
    context.run_migrations()
