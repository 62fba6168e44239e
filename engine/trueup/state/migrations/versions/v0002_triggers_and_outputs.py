"""What triggers have seen, what a replacement still has to delete, and the outputs of stacks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("inventory", sa.Column("triggers", sa.Text, nullable=False, server_default="{}"))
    op.add_column("inventory", sa.Column("replacing", sa.Text, nullable=False, server_default="{}"))
    op.create_table(
        "outputs",
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("values", sa.Text, nullable=False),
        sa.Column("commit_id", sa.Text, nullable=False),
        sa.Column("written_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("stack", name="pk_outputs"),
    )
