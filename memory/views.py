"""The journal's views: how an event changes them, and how they are made anew."""

import json
import sqlite3

from evo_agent.memory.bodies import Episode, Skill
from evo_agent.memory.document import document
from evo_agent.memory.records import Record, from_json
from evo_agent.memory.rows import Change
from evo_agent.memory.schema import VIEWS, VIEWS_DDL
from evo_agent.memory.words import terms


def add_record(connection: sqlite3.Connection, position: int, record: Record) -> None:
    """Take in a new record that the event at a position holds."""
    body = record.body
    origin, sha = (body.origin, body.sha) if isinstance(body, Episode) else ("", "")
    issue = body.issue_id if isinstance(body, Episode | Skill) else ""
    name = body.name if isinstance(body, Skill) else ""
    cursor = connection.execute(
        "INSERT INTO records (id, event, kind, repo, scope, state, origin, issue, sha, name, time)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        (
            *(record.id, position, record.kind, record.repo, record.scope, record.state),
            *(origin, issue, sha, name, record.as_of.time),
        ),
    )
    connection.executemany(
        "INSERT OR IGNORE INTO sources VALUES (?, ?)",
        [(source, record.id) for source in record.source_ids],
    )
    doc = document(record)
    columns = (doc.title, " ".join(doc.paths), doc.text, doc.diff)
    connection.execute(
        "INSERT INTO search (rowid, title, paths, text, diff) VALUES (?,?,?,?,?)",
        (cursor.lastrowid, *(" ".join(terms(column)) for column in columns)),
    )


def apply(connection: sqlite3.Connection, run: str, change: Change) -> None:
    """Take in an event that adds no record."""
    if change.kind == "state":
        sql = "UPDATE records SET state = ? WHERE id = ?"
        connection.execute(sql, (change.data["to"], change.record))
    elif change.kind == "credit":
        sql = "INSERT OR IGNORE INTO credits VALUES (?, ?, ?)"
        connection.execute(sql, (change.record, run, int(change.data["win"])))


def rebuild(connection: sqlite3.Connection) -> None:
    """Make every view anew from the events."""
    for view in reversed(VIEWS):
        connection.execute(f"DROP TABLE IF EXISTS {view}")
    for statement in VIEWS_DDL.split(";"):
        connection.execute(statement)
    rows = connection.execute(
        "SELECT position, run, kind, record, data FROM events ORDER BY position"
    )
    for position, run, kind, record, data in rows.fetchall():
        if kind == "record":
            add_record(connection, position, from_json(data))
        else:
            apply(connection, run, Change(kind, record, json.loads(data)))
