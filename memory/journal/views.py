"""The journal's views: how an event changes them, and how they are made anew."""

import json
import sqlite3

from evo_agent.memory.journal.bodies import Episode, Skill
from evo_agent.memory.journal.document import document
from evo_agent.memory.journal.features import packed
from evo_agent.memory.journal.records import Record, from_json, pack, precedence, unpack
from evo_agent.memory.journal.rows import Change, Laid
from evo_agent.memory.journal.schema import VIEWS, VIEWS_DDL
from evo_agent.memory.journal.words import terms


def laid(record: Record) -> Laid:
    """Lay a record out; needs no journal, so it may be done in another process.

    Raises:
        StoreError: it is too large.
    """
    return _laid(record, pack(record))


def _laid(record: Record, data: bytes) -> Laid:
    body = record.body
    origin, sha = (body.origin, body.sha) if isinstance(body, Episode) else ("", "")
    if "commit" in record.tags:  # what was concluded from commits is known from the last one on
        sha = record.as_of.commit
    issue = body.issue_id
    name = body.name if isinstance(body, Skill) else ""
    where = (record.kind.value, record.repo, record.scope.value, record.state.value)
    doc = document(record)
    columns = (doc.title, " ".join(doc.paths), doc.text, doc.diff)
    searched = [terms(column) for column in columns]
    return Laid(
        id=record.id,
        data=data,
        columns=(*where, origin, issue, sha, name, record.as_of.time),
        sources=record.source_ids,
        search=tuple(" ".join(words) for words in searched),
        features=packed(record, doc, searched),
    )


def add(connection: sqlite3.Connection, position: int, row: Laid) -> int:
    """Take in a new record that the event at a position holds.

    Returns:
        Its number.
    """
    cursor = connection.execute(
        "INSERT INTO records (id, event, kind, repo, scope, state, origin, issue, sha, name, time)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        (row.id, position, *row.columns),
    )
    assert cursor.lastrowid is not None
    _source(connection, row)
    _search(connection, cursor.lastrowid, row)
    return cursor.lastrowid


def _source(connection: sqlite3.Connection, row: Laid) -> None:
    sql = "INSERT OR IGNORE INTO sources VALUES (?, ?)"
    connection.executemany(sql, [(source, row.id) for source in row.sources])


def _search(connection: sqlite3.Connection, number: int, row: Laid) -> None:
    sql = "INSERT INTO search (rowid, title, paths, text, diff) VALUES (?,?,?,?,?)"
    connection.execute(sql, (number, *row.search))
    connection.execute("INSERT OR REPLACE INTO features VALUES (?, ?)", (number, row.features))


def apply(connection: sqlite3.Connection, run: str, change: Change) -> None:
    """Take in an event that adds no record."""
    if change.kind == "state":
        settle(connection, change.record)
    elif change.kind == "credit":
        # One a run; of two that differ, from journals that were merged, the loss counts.
        sql = "INSERT INTO credits VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET win = min(win, excluded.win)"
        earned = change.data.get("of", run)  # carried over from a record that became this one
        connection.execute(sql, (change.record, earned, int(change.data["win"])))


def settle(connection: sqlite3.Connection, record: str) -> None:
    """Bring a record's state up to date: its latest step decides, in whatever order they came."""
    latest = (
        "SELECT data FROM events WHERE record = ? AND kind = 'state' AND kind != 'record' "
        "ORDER BY time DESC, data DESC LIMIT 1"
    )
    for (data,) in connection.execute(latest, (record,)).fetchall():
        sql = "UPDATE records SET state = ? WHERE id = ?"
        connection.execute(sql, (json.loads(data)["to"], record))


def present(connection: sqlite3.Connection, record: str) -> tuple[int, Record, bytes]:
    """Number, present copy and its bytes of a record that is there."""
    sql = "SELECT r.number, e.data FROM records r JOIN events e ON e.position = r.event WHERE r.id = ?"
    number, data = connection.execute(sql, (record,)).fetchone()
    return int(number), from_json(unpack(data), verify=False), data


def replace(connection: sqlite3.Connection, position: int, record: Record) -> bool:
    """Take in another copy of a known record, if it takes precedence over the present one.

    Args:
        connection: in a transaction.
        position: of the event that holds the copy.
        record: the copy: same id, so same content, but another envelope.

    Returns:
        Whether what recall derives from the views has to be made anew for it.
    """
    number, before, data = present(connection, record.id)
    if precedence(before) <= precedence(record):
        return False
    old, new = _laid(before, data), laid(record)
    sql = "UPDATE records SET event = ?, state = ?, time = ? WHERE number = ?"
    connection.execute(sql, (position, record.state, record.as_of.time, number))
    settle(connection, record.id)
    connection.execute("DELETE FROM sources WHERE record = ?", (record.id,))
    _source(connection, new)
    sql = "INSERT INTO search (search, rowid, title, paths, text, diff) VALUES ('delete',?,?,?,?,?)"
    connection.execute(sql, (number, *old.search))
    _search(connection, number, new)
    return (old.columns[-1], old.search) != (new.columns[-1], new.search)


def rebuild(connection: sqlite3.Connection) -> None:
    """Make every view anew from the events."""
    for view in reversed(VIEWS):
        connection.execute(f"DROP TABLE IF EXISTS {view}")
    for statement in VIEWS_DDL.split(";"):
        connection.execute(statement)
    rows = connection.execute(
        "SELECT position, run, kind, record, data FROM events ORDER BY position"
    )
    seen: set[str] = set()
    for position, run, kind, record, data in rows:
        if kind == "record":
            found = from_json(unpack(data))
            if found.id in seen:
                replace(connection, position, found)
            else:
                add(connection, position, _laid(found, data))
            seen.add(found.id)
        else:
            apply(connection, run, Change(kind, record, json.loads(data)))
