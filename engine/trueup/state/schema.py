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
REVISIONS = ("0001", "0002", "0003", "0004")
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

# `checksum` is over all that decides what is changed or deleted; empty in a row of an older version.
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
    Column("place", Text, nullable=False, server_default=""),
    Column("run", _Id, nullable=False, server_default="0"),
    Column("checksum", String(8), nullable=False, server_default=""),
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
    Column("checksum", String(8), nullable=False, server_default=""),
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
    Column("author", Text, nullable=False, server_default=""),
    Column("trigger", Text, nullable=False, server_default=""),
    Column("approved_by", Text, nullable=False, server_default=""),
    Column("plan", Text, nullable=False, server_default=""),
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
    Index(None, "address", "id"),
    sqlite_autoincrement=True,
)

# What people decided on plans that were held.
approvals = Table(
    "approvals",
    metadata,
    Column("stack", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("verdict", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("at", Double, nullable=False),
)

# Stacks that do not follow their source: suspended ones, and those that stay at a commit.
pins = Table(
    "pins",
    metadata,
    Column("stack", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("commit_id", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Double, nullable=False),
)

# An empty address is the stack as a whole, run 0 no run. The run is no foreign key: it may be pruned first.
events = Table(
    "events",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("stack", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("run", _Id, nullable=False),
    Index(None, "stack", "id"),
    sqlite_autoincrement=True,
)

quarantines = Table(
    "quarantines",
    metadata,
    Column("stack", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("paths", Text, nullable=False),
    Column("writer", Text, nullable=False),
    Column("strikes", Integer, nullable=False),
    Column("since", Double, nullable=False),
    Column("until", Double, nullable=False),
)

corrections = Table(
    "corrections",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("stack", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("writer", Text, nullable=False),
    Index(None, "stack", "at"),
    sqlite_autoincrement=True,
)
