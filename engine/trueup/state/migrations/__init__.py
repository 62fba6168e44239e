"""Alembic's environment and one file a revision under versions/. Run by `state.migrate` alone."""
