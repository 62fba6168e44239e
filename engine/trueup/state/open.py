"""Opens a store by its URL. Called by app; SQLAlchemy is imported only here below, when a store is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trueup.errors import StoreError
from trueup.state.store import KEPT_RUNS, Store

if TYPE_CHECKING:
    from trueup.state.database import Database
    from trueup.state.process import Clock

# Stands for an empty store in memory, which ends with the process. Nobody can type it. A path may follow: of
# the file that is not there, of which something may be remembered all the same.
NO_STORE = "\0"
_FORMS = "use a path, sqlite:////absolute/path.db or postgresql://user@host/database"


def open_store(url: str, clock: Clock | None = None, keep_runs: int = KEPT_RUNS) -> Store:
    """The store at a path, a `sqlite:///` URL or a `postgresql://` URL, created or migrated if need be.

    It keeps the latest `keep_runs` runs of each stack.
    """
    from trueup.state.migrate import ensure_schema
    from trueup.state.process import Clock
    from trueup.state.sql import SqlStore

    database = _open_database(url)
    try:
        with database.errors():
            identity = ensure_schema(database)
    except BaseException:
        database.engine.dispose()
        raise
    return SqlStore(database, identity, clock or Clock(), keep_runs)


def file_of(url: str) -> Path | None:
    """The file that a URL names, absolute; None for what is no file, or no store at all."""
    if "\0" in url or not url.strip():
        return None
    scheme, separator, location = url.partition("://")
    if not separator:
        return _absolute(url)
    if scheme != "sqlite" or not location.startswith("/") or location == "/" or "?" in location:
        return None
    # sqlite:////a/b is absolute, sqlite:///a/b relative, as everywhere with SQLAlchemy.
    return _absolute(location[1:])


def _open_database(url: str) -> Database:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    from trueup.state.database import open_memory, open_postgresql, open_sqlite

    if url.startswith(NO_STORE):
        missing = url.removeprefix(NO_STORE)
        return open_memory(Path(missing) if missing else None)
    if "\0" in url or not url.strip():
        raise StoreError("the store has no name", hint=_FORMS)
    file = file_of(url)
    if file is not None:
        return open_sqlite(file)
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        raise StoreError("the URL of the store names no file", hint=_FORMS)
    if scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        try:
            return open_postgresql(make_url(url).set(drivername="postgresql"))
        except (ArgumentError, ValueError) as error:
            raise StoreError("the URL of the store is not valid", hint=_FORMS) from error
    raise StoreError(f"no store for {scheme}://", hint=_FORMS)


def _absolute(path: str) -> Path:
    return Path(path).expanduser().absolute()
