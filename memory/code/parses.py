"""The cache of parsed sources: one SQLite file, by blob, shared by processes, bounded."""

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from evo_agent.core.errors import StoreError
from evo_agent.memory.code import lexemes, symbols
from evo_agent.memory.journal.schema import BUSY_SECONDS, write_ahead

LARGEST_CACHE = 1 << 30  # bytes; beyond, what was used longest ago goes
_ASKED = 500  # blobs in one statement
_FORMAT = f"{symbols.VERSION}.{lexemes.VERSION}"
_DDL = """
CREATE TABLE IF NOT EXISTS parses (
    blob TEXT NOT NULL, language TEXT NOT NULL, format TEXT NOT NULL,
    arrays BLOB NOT NULL, told TEXT NOT NULL, used INTEGER NOT NULL,
    PRIMARY KEY (blob, language, format)
) WITHOUT ROWID
"""

Parse = tuple[bytes, str]  # see lexemes.to_blob


class Parses:
    """Parsed sources by blob and language.

    What is damaged or of another format is parsed anew: a cache holds no truth.

    Args:
        path: the file; made when it is missing.

    Raises:
        StoreError: it cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = self._opened()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"the cache of sources at {path}: {error}", f"make {path.parent} writable"
            ) from error

    def _opened(self) -> sqlite3.Connection:
        try:
            return _connected(self._path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            self._path.unlink(missing_ok=True)  # noise where a database should be
            return _connected(self._path)

    def get(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Parse]:
        """What is known of (blob, language) pairs."""
        found: dict[tuple[str, str], Parse] = {}
        wanted = set(keys)
        blobs = sorted({blob for blob, _ in keys})
        for start in range(0, len(blobs), _ASKED):
            some = blobs[start : start + _ASKED]
            marks = ",".join("?" * len(some))
            statement = (
                "SELECT blob, language, arrays, told FROM parses "  # noqa: S608 - only marks
                f"WHERE format = ? AND blob IN ({marks})"
            )
            for blob, language, arrays, told in self._rows(statement, (_FORMAT, *some)):
                if (blob, language) in wanted:
                    found[blob, language] = (arrays, told)
        return found

    def _rows(self, statement: str, values: Sequence[str]) -> Iterable[tuple[str, str, bytes, str]]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.DatabaseError:
            return ()  # damaged: parsed anew

    def put(self, parsed: Mapping[tuple[str, str], Parse]) -> None:
        """Keep parses; another process may have kept the same."""
        now = int(time.time())
        rows = [(*key, _FORMAT, arrays, told, now) for key, (arrays, told) in parsed.items()]
        try:
            with self._connection:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO parses VALUES (?, ?, ?, ?, ?, ?)", rows
                )
        except sqlite3.DatabaseError:
            return  # full, locked or damaged: the next time it is parsed again

    def trim(self, largest: int = LARGEST_CACHE) -> None:
        """Drop what was parsed longest ago, beyond a size in bytes."""
        (size,) = self._connection.execute(
            "SELECT coalesce(sum(length(arrays)), 0) FROM parses"
        ).fetchone()
        if size <= largest:
            return
        with self._connection:
            self._connection.execute(
                """DELETE FROM parses WHERE (blob, language, format) IN (
                    SELECT blob, language, format FROM (
                        SELECT *, sum(length(arrays)) OVER (ORDER BY used DESC, blob) AS kept
                        FROM parses) WHERE kept > ?)""",
                (largest // 2,),
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
    try:
        write_ahead(connection)
        connection.execute("PRAGMA synchronous = OFF")  # a cache: lost is parsed again
        with connection:
            connection.execute(_DDL)
    except BaseException:
        connection.close()
        raise
    return connection
