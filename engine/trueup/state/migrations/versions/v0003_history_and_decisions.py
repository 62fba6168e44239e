"""Who did what and why: more about runs and rows; approvals, pins, events, quarantines and corrections."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    for name in ("author", "trigger", "approved_by", "plan"):
        op.add_column("runs", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.add_column("inventory", sa.Column("place", sa.Text, nullable=False, server_default=""))
    op.add_column("inventory", sa.Column("run", ID, nullable=False, server_default="0"))
    op.create_index("ix_steps_address_id", "steps", ["address", "id"])
    _create_decisions()
    _create_journal()


def _create_decisions() -> None:
    op.create_table(
        "approvals",
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("stack", "digest", name="pk_approvals"),
    )
    op.create_table(
        "pins",
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("commit_id", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("stack", name="pk_pins"),
    )


def _create_journal() -> None:
    op.create_table(
        "events",
        sa.Column("id", ID, nullable=False),
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("run", ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_stack_id", "events", ["stack", "id"])
    op.create_table(
        "quarantines",
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("paths", sa.Text, nullable=False),
        sa.Column("writer", sa.Text, nullable=False),
        sa.Column("strikes", sa.Integer, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("stack", "address", name="pk_quarantines"),
    )
    op.create_table(
        "corrections",
        sa.Column("id", ID, nullable=False),
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("writer", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_corrections"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_corrections_stack_at", "corrections", ["stack", "at"])
