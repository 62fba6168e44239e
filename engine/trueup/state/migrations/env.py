"""Runs the migrations in the transaction that `state.migrate` opened; there is no alembic.ini."""

from __future__ import annotations

from alembic import context

from trueup.state.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
