"""Appending to the journal: an event, and in the same transaction what it changes in the views.

The caller holds the transaction.
"""

import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Sequence

from evo_agent.memory.journal import views
from evo_agent.memory.journal.records import canonical
from evo_agent.memory.journal.rows import Change, Laid


def append(connection: sqlite3.Connection, run: str, changes: Sequence[Change]) -> int:
    """Append events of a run, but no record that is there already.

    Returns:
        How many records are new.
    """
    known = _known(connection, [c.record for c in changes if c.new is not None])
    sequence = last(connection, run)
    new = 0
    for change in changes:
        if change.kind == "record" and change.record in known:
            continue
        sequence += 1
        if change.new is None:
            data = canonical(change.data).decode()
            moment = _moment(connection, change)
            event(connection, (run, sequence), (change.kind, change.record), data, moment)
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
    known = _known(connection, [row.id for row in rows])
    sequence = last(connection, run)
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


def purged(connection: sqlite3.Connection) -> set[str]:
    """Ids of records that were purged; none of them comes back."""
    sql = "SELECT record FROM events WHERE kind = 'purge' AND kind != 'record'"
    return {record for (record,) in connection.execute(sql)}


def begin_anew(connection: sqlite3.Connection) -> None:
    """Tell every index and every open process that what they derived from the views is void."""
    connection.execute("UPDATE about SET value = lower(hex(randomblob(16))) WHERE key = 'epoch'")
    event(connection, (f"rebuild-{uuid.uuid4().hex}", 1), ("rebuilt", ""), "{}")


def _known(connection: sqlite3.Connection, ids: Iterable[str]) -> set[str]:
    return numbers(connection, ids).keys() | purged(connection)


def _record(connection: sqlite3.Connection, run: str, sequence: int, row: Laid) -> int:
    position = event(connection, (run, sequence), ("record", row.id), row.data)
    return views.add(connection, position, row)


def event(
    connection: sqlite3.Connection,
    place: tuple[str, int],
    what: tuple[str, str],
    data: str | bytes,
    moment: float = 0.0,
) -> int:
    """Append one event, without what it means for the views.

    Args:
        connection: in a transaction.
        place: its run, and its number there.
        what: its kind, and the record that it is about.
        data: JSON; a record's packed.
        moment: seconds since 1970 (0: now).

    Returns:
        Its position.
    """
    cursor = connection.execute(
        "INSERT INTO events (run, sequence, kind, record, data, time) VALUES (?,?,?,?,?,?)",
        (*place, *what, data, moment or time.time()),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _moment(connection: sqlite3.Connection, change: Change) -> float:
    """Now; but a step in a record's life is later than the one before, whatever the clock says."""
    now = time.time()
    if change.kind != "state":
        return now
    sql = "SELECT max(time) FROM events WHERE record = ? AND kind = 'state' AND kind != 'record'"
    (last,) = connection.execute(sql, (change.record,)).fetchone()
    return max(now, (last or 0.0) + 1e-6)


def last(connection: sqlite3.Connection, run: str) -> int:
    """Number of the last event of a run; 0 when there is none."""
    sql = "SELECT coalesce(max(sequence), 0) FROM events WHERE run = ?"
    return int(connection.execute(sql, (run,)).fetchone()[0])
