"""The journal's views: how an event changes them, and how they are made anew."""

import json
import sqlite3

from evo_agent.memory.bodies import Episode, Skill
from evo_agent.memory.document import document
from evo_agent.memory.records import Record, from_json, pack, unpack
from evo_agent.memory.rows import Change, Laid
from evo_agent.memory.schema import VIEWS, VIEWS_DDL
from evo_agent.memory.words import terms


def laid(record: Record) -> Laid:
    """Lay a record out; needs no journal, so it may be done in another process.

    Raises:
        StoreError: it is too large.
    """
    return _laid(record, pack(record))


def _laid(record: Record, data: bytes) -> Laid:
    body = record.body
    origin, sha = (body.origin, body.sha) if isinstance(body, Episode) else ("", "")
    issue = body.issue_id
    name = body.name if isinstance(body, Skill) else ""
    where = (record.kind.value, record.repo, record.scope.value, record.state.value)
    doc = document(record)
    searched = (doc.title, " ".join(doc.paths), doc.text, doc.diff)
    return Laid(
        id=record.id,
        data=data,
        columns=(*where, origin, issue, sha, name, record.as_of.time),
        sources=record.source_ids,
        search=tuple(" ".join(terms(column)) for column in searched),
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
    connection.executemany(
        "INSERT OR IGNORE INTO sources VALUES (?, ?)", [(source, row.id) for source in row.sources]
    )
    connection.execute(
        "INSERT INTO search (rowid, title, paths, text, diff) VALUES (?,?,?,?,?)",
        (cursor.lastrowid, *row.search),
    )
    return cursor.lastrowid


def apply(connection: sqlite3.Connection, run: str, change: Change) -> None:
    """Take in an event that adds no record."""
    if change.kind == "state":
        sql = "UPDATE records SET state = ? WHERE id = ?"
        connection.execute(sql, (change.data["to"], change.record))
    elif change.kind == "credit":
        sql = "INSERT OR IGNORE INTO credits VALUES (?, ?, ?)"
        earned = change.data.get("of", run)  # carried over from a record that became this one
        connection.execute(sql, (change.record, earned, int(change.data["win"])))


def rebuild(connection: sqlite3.Connection) -> None:
    """Make every view anew from the events."""
    for view in reversed(VIEWS):
        connection.execute(f"DROP TABLE IF EXISTS {view}")
    for statement in VIEWS_DDL.split(";"):
        connection.execute(statement)
    rows = connection.execute(
        "SELECT position, run, kind, record, data FROM events ORDER BY position"
    )
    for position, run, kind, record, data in rows:
        if kind == "record":
            add(connection, position, _laid(from_json(unpack(data)), data))
        else:
            apply(connection, run, Change(kind, record, json.loads(data)))
