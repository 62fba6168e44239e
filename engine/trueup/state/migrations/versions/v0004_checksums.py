"""Rows that lead to changes of live systems carry a checksum. An empty one is an older version's."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for table in ("inventory", "intents"):
        op.add_column(table, sa.Column("checksum", sa.String(8), nullable=False, server_default=""))
