"""Looks through the whole file of an SQLite store, beside the run that is about to trust it. Used by sql.

SQLite sees damage only in the pages that it reads: a row can be missing without a word because its index is
damaged. So the file is checked when the first run begins, and the run waits for that before it writes; by
then it has asked the live systems, which takes longer. That takes a second for each 150 MiB, so a large file
is looked through whole once a day, and else without its indexes, which takes a tenth of that.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import suppress

from sqlalchemy import Connection, select

from trueup.errors import StoreError
from trueup.state.database import Database
from trueup.state.failures import damaged_file
from trueup.state.schema import settings

# Seconds until a run looks again: a daemon lives for months.
DAY = 86400.0
# A file up to this size is always looked through whole.
SMALL = 32 * 1024 * 1024
_SHOWN = 3
# When, and in which file: a copy that was put in its place is another one.
_SETTING = "inspected"


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
                    is_whole = not self._was_inspected(connection)
                    pragma = "integrity_check" if is_whole else "quick_check"
                    query = f"PRAGMA {pragma}({_SHOWN})"
                    found = [str(line) for line in connection.exec_driver_sql(query).scalars()]
                finally:
                    self._connection = None
            if found != ["ok"] and database.file is not None:
                what = "; ".join(line for text in found for line in text.splitlines()[:_SHOWN])
                raise damaged_file(database.name, database.file, what)
        except StoreError as error:
            self._error = error
            return
        if is_whole and self._is_large():
            self._note()

    def _is_large(self) -> bool:
        file = self._database.file
        try:
            return file is not None and file.stat().st_size > SMALL
        except OSError:
            return False

    def _was_inspected(self, connection: Connection) -> bool:
        """Whether some process has looked through the whole of this very file in the last day."""
        if not self._is_large():
            return False
        text = connection.execute(select(settings.c.value).where(settings.c.name == _SETTING)).scalar()
        file, _, at = str(text or "").rpartition(" ")
        return file == self._file_id() and at.isdigit() and 0 <= time.time() - int(at) < DAY

    def _file_id(self) -> str:
        return ":".join(map(str, self._database.opened or ()))

    def _note(self) -> None:
        database = self._database
        value = f"{self._file_id()} {int(time.time())}"
        # Where it cannot be noted, the next process looks once more; what is wrong, the run will meet.
        with suppress(StoreError), database.errors(), database.writing() as connection:
            connection.execute(settings.delete().where(settings.c.name == _SETTING))
            connection.execute(settings.insert().values(name=_SETTING, value=value))
