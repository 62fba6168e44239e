"""Brings a store to this program's schema: creates a new one, migrates an older, refuses a newer.

Called by open.open_store. Alembic is imported only when there is something to migrate.
"""

from __future__ import annotations

import secrets
import uuid
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from trueup import __version__
from trueup.errors import StoreError
from trueup.state.database import Database, Identity, copy_sqlite
from trueup.state.schema import REVISIONS, VERSION_TABLE, settings

MIGRATIONS = Path(__file__).parent / "migrations"
# The key of PostgreSQL's advisory lock for migrations: any number that no other program is likely to use.
_LOCK_KEY = 0x7472756575700001


def ensure_schema(database: Database) -> Identity:
    """What tells the store from others, once the schema is this program's."""
    with database.reading() as connection:
        revision = _read_revision(connection)
        if revision == REVISIONS[-1]:
            installation = _read_setting(connection, "installation")
            if key := _find_setting(connection, "digest_key"):
                return Identity(installation, key.encode())
        _refuse_foreign(database, connection, revision)
    with database.writing() as connection:
        if database.file is None:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        # Another process may have migrated while this one waited.
        revision = _read_revision(connection)
        _refuse_foreign(database, connection, revision)
        if revision != REVISIONS[-1]:
            if revision and database.file is not None:
                copy_sqlite(database.file, Path(f"{database.file}.before-{revision}"))
            _upgrade(connection)
            _write_setting(connection, "program", __version__)
            _ensure_setting(connection, "installation", uuid.uuid4().hex[:12])
        installation = _read_setting(connection, "installation")
        key = _ensure_setting(connection, "digest_key", secrets.token_hex(32))
        return Identity(installation, key.encode())


def _read_revision(connection: Connection) -> str:
    """The store's revision, empty for a new store."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return ""
    row = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).first()  # noqa: S608 - a constant
    return str(row[0]) if row else ""


def _refuse_foreign(database: Database, connection: Connection, revision: str) -> None:
    if revision and revision not in REVISIONS:
        program = ""
        with suppress(StoreError, SQLAlchemyError):
            program = _read_setting(connection, "program")
        raise StoreError(
            f"the store {database.name} was made by a newer trueup ({program or 'of unknown version'}, "
            f"schema {revision}); this is {__version__}, schema {REVISIONS[-1]}. Nothing was changed",
            hint=f"upgrade trueup to {program or 'that version'}, or name another store",
        )
    if not revision and database.file is not None and inspect(connection).get_table_names():
        raise StoreError(
            f"{database.name} is an SQLite database, but not one of trueup. Nothing was changed",
            hint="name another file for the store",
        )


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    # Alembic reads its options with interpolation, where a percent sign in the path must be doubled.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, "head")


def _read_setting(connection: Connection, name: str) -> str:
    value = _find_setting(connection, name)
    if not value:
        raise StoreError(f"the store is damaged: its setting {name!r} is missing")
    return value


def _find_setting(connection: Connection, name: str) -> str:
    """The value of a setting, empty where there is none."""
    return str(connection.execute(select(settings.c.value).where(settings.c.name == name)).scalar() or "")


def _write_setting(connection: Connection, name: str, value: str) -> None:
    connection.execute(settings.delete().where(settings.c.name == name))
    connection.execute(settings.insert().values(name=name, value=value))


def _ensure_setting(connection: Connection, name: str, value: str) -> str:
    """The setting, made with that value where there is none."""
    found = _find_setting(connection, name)
    if not found:
        _write_setting(connection, name, value)
    return found or value
