"""Looks through the whole file of an SQLite store, beside the run that is about to trust it. Used by sql.

SQLite sees damage only in the pages that it reads: a row can be missing without a word because its index is
damaged. So the file is checked when the first run begins, and the run waits for that before it writes; by
then it has asked the live systems, which takes longer.
"""

from __future__ import annotations

import sqlite3
import threading
import time

from trueup.errors import StoreError
from trueup.state.database import Database
from trueup.state.failures import damaged_file

# Seconds until a run looks again: a daemon lives for months.
DAY = 86400.0
_SHOWN = 3


class Inspection:
    """Thread safe. One look at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._started_at: float | None = None
        self._error: Exception | None = None
        self._connection: sqlite3.Connection | None = None

    def start(self) -> None:
        """Begins to look, unless that was done in the last day and nothing was found."""
        with self._lock:
            now = time.monotonic()
            is_fresh = self._started_at is not None and now - self._started_at < DAY
            is_under_way = self._thread is not None and self._thread.is_alive()
            if is_under_way or (is_fresh and self._error is None):
                return
            self._started_at, self._error = now, None
            self._thread = threading.Thread(target=self._look, name="store-inspection", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Waits for the end. Raises StoreError for what is wrong with the file."""
        thread = self._thread
        if thread is not None:
            thread.join()
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Ends a look that is under way."""
        thread = self._thread
        while thread is not None and thread.is_alive():
            connection = self._connection
            if connection is not None:
                connection.interrupt()
            thread.join(0.05)

    def _look(self) -> None:
        database = self._database
        try:
            with database.errors(), database.reading() as connection:
                self._connection = connection.connection.driver_connection
                try:
                    query = f"PRAGMA integrity_check({_SHOWN})"
                    found = [str(line) for line in connection.exec_driver_sql(query).scalars()]
                finally:
                    self._connection = None
            if found != ["ok"] and database.file is not None:
                what = "; ".join(line for text in found for line in text.splitlines()[:_SHOWN])
                raise damaged_file(database.name, database.file, what)
        except StoreError as error:
            self._error = error
