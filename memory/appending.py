"""Appending to the journal: an event, and in the same transaction what it changes in the views.

The caller holds the transaction.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence

from evo_agent.memory import views
from evo_agent.memory.records import canonical
from evo_agent.memory.rows import Change, Laid


def append(connection: sqlite3.Connection, run: str, changes: Sequence[Change]) -> int:
    """Append events of a run, but no record that is there already.

    Returns:
        How many records are new.
    """
    known = set(numbers(connection, [c.record for c in changes if c.new is not None]))
    sequence = _last(connection, run)
    new = 0
    for change in changes:
        if change.kind == "record" and change.record in known:
            continue
        sequence += 1
        if change.new is None:
            data = canonical(change.data).decode()
            _event(connection, run, sequence, (change.kind, change.record), data)
            views.apply(connection, run, change)
        else:
            _record(connection, run, sequence, views.laid(change.new))
            known.add(change.record)
            new += 1
    return new


def append_records(connection: sqlite3.Connection, run: str, rows: Sequence[Laid]) -> list[int]:
    """Append records that were laid out beforehand, each once.

    Returns:
        Numbers of those that are new, in order; 0 in the place of one that was there.
    """
    known = set(numbers(connection, [row.id for row in rows]))
    sequence = _last(connection, run)
    added: list[int] = []
    for row in rows:
        if row.id in known:
            added.append(0)
            continue
        known.add(row.id)
        sequence += 1
        added.append(_record(connection, run, sequence, row))
    return added


def numbers(connection: sqlite3.Connection, ids: Iterable[str]) -> dict[str, int]:
    """Numbers of those records that are there, by id."""
    sql = "SELECT id, number FROM records WHERE id IN (SELECT value FROM json_each(?))"
    return dict(connection.execute(sql, (json.dumps(list(ids)),)).fetchall())


def _record(connection: sqlite3.Connection, run: str, sequence: int, row: Laid) -> int:
    position = _event(connection, run, sequence, ("record", row.id), row.data)
    return views.add(connection, position, row)


def _event(
    connection: sqlite3.Connection,
    run: str,
    sequence: int,
    what: tuple[str, str],
    data: str | bytes,
) -> int:
    cursor = connection.execute(
        "INSERT INTO events (run, sequence, kind, record, data, time) VALUES (?,?,?,?,?,?)",
        (run, sequence, *what, data, time.time()),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _last(connection: sqlite3.Connection, run: str) -> int:
    sql = "SELECT coalesce(max(sequence), 0) FROM events WHERE run = ?"
    return int(connection.execute(sql, (run,)).fetchone()[0])
