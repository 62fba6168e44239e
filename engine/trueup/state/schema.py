"""The tables of the store, as they are after the last migration. Used by sql and migrate."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

# The migrations that this program knows, oldest first. A store at any other revision is a newer program's.
REVISIONS = ("0001", "0002")
VERSION_TABLE = "trueup_version"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Autoincrement of SQLite needs the type INTEGER; it keeps ids of pruned runs from being given again.
_Id = BigInteger().with_variant(Integer, "sqlite")

# `installation`: the id of this installation. `program`: the trueup that wrote the schema. `digest_key`: the
# key with which secrets are hashed.
settings = Table(
    "settings",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

inventory = Table(
    "inventory",
    metadata,
    Column("stack", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("api_version", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created", Boolean, nullable=False),
    Column("protect", Boolean, nullable=False),
    Column("on_delete", Text, nullable=False),
    Column("depends_on", Text, nullable=False),
    Column("commit_id", Text, nullable=False),
    Column("applied_at", Double, nullable=False),
    Column("triggers", Text, nullable=False, server_default="{}"),
    Column("replacing", Text, nullable=False, server_default="{}"),
)

# What other stacks may read of a stack, as the last run that converged has left it.
outputs = Table(
    "outputs",
    metadata,
    Column("stack", Text, primary_key=True),
    Column("values", Text, nullable=False),
    Column("commit_id", Text, nullable=False),
    Column("written_at", Double, nullable=False),
)

# The run is no foreign key: an intent outlives the history of its run.
intents = Table(
    "intents",
    metadata,
    Column("token", String(64), primary_key=True),
    Column("stack", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("run", _Id, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("written_at", Double, nullable=False),
    UniqueConstraint("stack", "address", "action", "fingerprint"),
)

# A released lease keeps its row with an empty holder, because the epoch must go on growing.
# `steady_expiry` is the expiry by the clock of the machine's boot, which nobody can set.
leases = Table(
    "leases",
    metadata,
    Column("stack", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("ttl", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("steady_expiry", Double, nullable=False),
    Column("machine", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("pid_started", BigInteger, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("stack", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("commit_id", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("finished_at", Double, nullable=False),
    Column("counts", Text, nullable=False),
    Index(None, "stack", "id"),
    sqlite_autoincrement=True,
)

steps = Table(
    "steps",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("run", _Id, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("address", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("fields", Text, nullable=False),
    Index(None, "run"),
    sqlite_autoincrement=True,
)
