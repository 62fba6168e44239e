"""The first tables: settings, inventory, intents, leases, runs and steps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "settings",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_settings"),
    )
    op.create_table(
        "inventory",
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("api_version", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created", sa.Boolean, nullable=False),
        sa.Column("protect", sa.Boolean, nullable=False),
        sa.Column("on_delete", sa.Text, nullable=False),
        sa.Column("depends_on", sa.Text, nullable=False),
        sa.Column("commit_id", sa.Text, nullable=False),
        sa.Column("applied_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("stack", "address", name="pk_inventory"),
    )
    op.create_table(
        "intents",
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("run", ID, nullable=False),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("written_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_intents"),
        sa.UniqueConstraint(
            "stack", "address", "action", "fingerprint", name="uq_intents_stack_address_action_fingerprint"
        ),
    )
    op.create_table(
        "leases",
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("ttl", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("steady_expiry", sa.Double, nullable=False),
        sa.Column("machine", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("pid_started", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("stack", name="pk_leases"),
    )
    _create_history()


def _create_history() -> None:
    op.create_table(
        "runs",
        sa.Column("id", ID, nullable=False),
        sa.Column("stack", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("commit_id", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("finished_at", sa.Double, nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_runs_stack_id", "runs", ["stack", "id"])
    op.create_table(
        "steps",
        sa.Column("id", ID, nullable=False),
        sa.Column("run", ID, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("fields", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_steps"),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="fk_steps_run", ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_steps_run", "steps", ["run"])
