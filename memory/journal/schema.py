"""The journal's tables, and its errors in words.

`events` is the truth: appended to, never changed; `data` is JSON, that of a record packed (see
records.pack), and a record's own event is found through `records`. Everything else is a view of it, kept in
the same transaction and rebuildable (journal.rebuild).
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evo_agent.core.errors import StoreError

VERSION = 1  # PRAGMA user_version; a journal from a newer evo is refused
BUSY_SECONDS = 60.0  # how long a writer waits for another
CACHE_KIB = 32 * 1024  # the indexes by id of 50,000 records, whose order is random
CHECKPOINT_PAGES = 4_000  # 16 MB of log before it is carried over: learning writes much at once

VIEWS = ("records", "sources", "credits", "features", "search", "terms")
DDL = """
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    kind TEXT NOT NULL,
    record TEXT NOT NULL,
    data BLOB NOT NULL,
    time REAL NOT NULL,
    UNIQUE (run, sequence)
);
CREATE INDEX IF NOT EXISTS events_about ON events (record) WHERE kind != 'record';
CREATE INDEX IF NOT EXISTS events_of_kind ON events (kind) WHERE kind != 'record';
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
VIEWS_DDL = """
CREATE TABLE IF NOT EXISTS records (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    event INTEGER NOT NULL,
    kind TEXT NOT NULL,
    repo TEXT NOT NULL,
    scope TEXT NOT NULL,
    state TEXT NOT NULL,
    origin TEXT NOT NULL,
    issue TEXT NOT NULL,
    sha TEXT NOT NULL,
    name TEXT NOT NULL,
    time REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS records_by_commit ON records (repo, sha);
CREATE INDEX IF NOT EXISTS records_by_kind ON records (kind, name);
CREATE INDEX IF NOT EXISTS records_moved ON records (number, state) WHERE state != 'candidate';
CREATE TABLE IF NOT EXISTS features (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS sources (
    source TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (source, record)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS credits (
    record TEXT NOT NULL,
    run TEXT NOT NULL,
    win INTEGER NOT NULL,
    PRIMARY KEY (record, run)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5 (
    title, paths, text, diff, content='', tokenize="unicode61 remove_diacritics 0 tokenchars '_'"
);
CREATE VIRTUAL TABLE IF NOT EXISTS terms USING fts5vocab (search, row);
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open, or make, a journal file; waits for other writers, never for ever.

    Raises:
        StoreError: no permission, not a database, or a newer evo wrote it.
    """
    with translated(path):
        connection = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to WAL. Of two that make a file at once, SQLite refuses one here and now."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > VERSION:  # before anything is written: a newer evo may keep its file in another way
        raise StoreError(f"{path} was written by a newer evo (format {found})", "upgrade evo")
    write_ahead(connection)
    connection.execute("PRAGMA synchronous = FULL")  # acknowledged means on the disk
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    if found == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    for statement in (DDL + VIEWS_DDL).split(";"):
        connection.execute(statement)
    connection.execute("INSERT OR IGNORE INTO about VALUES ('epoch', lower(hex(randomblob(16))))")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's and the system's errors into one line and what to do about it."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"memory at {path}: {error}", _remedy(str(error), path)) from error
    except OSError as error:
        cause = f"memory at {path}: {error.strerror or error}"
        raise StoreError(cause, _remedy(str(error), path)) from error


def _remedy(message: str, path: Path) -> str:
    lowered = message.lower()
    if "full" in lowered or "no space" in lowered:
        return f"free some space below {path.parent}, then run the command again"
    if "locked" in lowered or "busy" in lowered:
        return "another evo holds the journal; try again when it is done"
    if any(word in lowered for word in ("malformed", "not a database", "corrupt")):
        return f"restore {path.name} from a copy, or move it away and run `evo learn` again"
    return (
        f"make {path.parent} writable (is its disk full?), "
        "or set memory.path (EVO_MEMORY_PATH) to another folder"
    )
