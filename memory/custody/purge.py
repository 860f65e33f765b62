"""Real deletion, for secrets: the one way that anything leaves memory.

The record's text leaves events, views, free pages, the log, the index and the skill folders; what
stays is a tombstone with its id, so that neither a merge nor a second learn brings it back. Other
events that quote the text are blackened, and a digest of the original stays in the same way.
"""

import json
import sqlite3
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from evo_agent.memory.custody.wire import Told
from evo_agent.memory.journal import views
from evo_agent.memory.journal.appending import begin_anew, event, last
from evo_agent.memory.journal.bodies import Episode, Skill
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import Record, canonical, from_json, unpack
from evo_agent.memory.journal.schema import connect, translated

BLACKENED = "[purged]"
PENDING = "purge-pending"  # in `about`, until the file's free pages are overwritten too


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge took.

    Attributes:
        records: ids of the records that are gone.
        names: of the skills among them.
        events: others that quoted the text and were blackened.
    """

    records: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    events: int = 0


def fresh() -> str:
    """Part of a run's name that no other has."""
    return uuid.uuid4().hex


def holding(journal: Journal, text: str) -> tuple[str, ...]:
    """Ids of the records that hold a text anywhere, in order of arrival."""
    with journal.transaction(write=False) as connection:
        return tuple(record.id for record in _records(connection) if _quotes(record, text))


def with_derived(journal: Journal, ids: Iterable[str]) -> tuple[str, ...]:
    """The records, and those that were made from them, to any depth: they may quote them."""
    found: dict[str, None] = {}
    waiting = list(ids)
    while waiting:
        record_id = waiting.pop(0)
        if record_id not in found:
            found[record_id] = None
            waiting += [stored.record.id for stored in journal.made_from(record_id)]
    return tuple(found)


def bury(journal: Journal, ids: Collection[str], text: str = "") -> Purged:
    """Take records out and put a tombstone in the place of each; see `overwrite` for the rest.

    Args:
        journal: where from.
        ids: of the records.
        text: blackened wherever another event quotes it.
    """
    run = f"purge-{fresh()}"
    with journal.transaction() as connection:
        names: list[str] = []
        stones: list[dict[str, str]] = []
        for record in (r for r in _records(connection) if r.id in ids):
            sha = record.body.sha if isinstance(record.body, Episode) else ""
            stones.append({"record": record.id, "repo": record.repo, "sha": sha})
            names += [record.body.name] if isinstance(record.body, Skill) else []
        unique = {stone["record"]: stone for stone in stones}
        _drop(connection, list(unique))
        for record_id, stone in unique.items():
            _stone(connection, run, record_id, {"repo": stone["repo"], "sha": stone["sha"]})
        blackened = _blacken(connection, run, [*filter(None, (text,)), *names])
        _void(connection)
    return Purged(tuple(unique), tuple(dict.fromkeys(names)), blackened)


def follow(connection: sqlite3.Connection, stones: Sequence[Told]) -> int:
    """Drop what was purged in a journal that is merged into this one.

    Returns:
        How many records and events are gone.
    """
    ids = [stone.record for stone in stones if stone.record]
    held = "SELECT count(*) FROM records WHERE id IN (SELECT value FROM json_each(?))"
    (gone,) = connection.execute(held, (json.dumps(ids),)).fetchone()
    _drop(connection, ids)
    digests = {str(stone.data.get("digest", "")) for stone in stones}
    for position, told in _told(connection):
        if told.digest in digests:
            connection.execute("DELETE FROM events WHERE position = ?", (position,))
            gone += 1
    if gone:
        _void(connection)
    return int(gone)


def erased(connection: sqlite3.Connection) -> set[str]:
    """Digests of the events that were purged."""
    sql = (
        "SELECT json_extract(data, '$.digest') FROM events "
        "WHERE kind = 'purge' AND kind != 'record' AND record = ''"
    )
    return {digest for (digest,) in connection.execute(sql)}


def overwrite(journal: Journal) -> None:
    """Leave nothing in the file's free pages or in its log.

    Raises:
        StoreError: the disk is full, or somebody else keeps the log busy. The purge is pending
            then, and the next one, or this, completes it.
    """
    with closing(connect(journal.path)) as connection, translated(journal.path):
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("VACUUM")
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise sqlite3.OperationalError("the log is busy, and holds what was purged")
    with journal.transaction() as connection:
        connection.execute("DELETE FROM about WHERE key = ?", (PENDING,))


def _records(connection: sqlite3.Connection) -> Iterator[Record]:
    sql = "SELECT data FROM events WHERE kind = 'record' ORDER BY position"
    for (data,) in connection.execute(sql):
        yield from_json(unpack(data), verify=False)


def _told(connection: sqlite3.Connection) -> list[tuple[int, Told]]:
    sql = "SELECT position, run, kind, record, data, time FROM events WHERE kind != 'record'"
    return [
        (position, Told(run, kind, record, json.loads(data), time))
        for position, run, kind, record, data, time in connection.execute(sql)
    ]


def _drop(connection: sqlite3.Connection, ids: Sequence[str]) -> None:
    sql = "DELETE FROM events WHERE kind != 'purge' AND record IN (SELECT value FROM json_each(?))"
    connection.execute(sql, (json.dumps(list(ids)),))


def _stone(
    connection: sqlite3.Connection, run: str, record_id: str, data: Mapping[str, str]
) -> None:
    place = (run, last(connection, run) + 1)
    event(connection, place, ("purge", record_id), canonical(data).decode())


def _blacken(connection: sqlite3.Connection, run: str, texts: Sequence[str]) -> int:
    count = 0
    for position, told in _told(connection) if texts else ():
        if told.kind != "purge" and any(_quotes(told.data, text) for text in texts):
            _stone(connection, run, "", {"digest": told.digest})
            data = canonical(_blackened(told.data, texts)).decode()
            connection.execute("UPDATE events SET data = ? WHERE position = ?", (data, position))
            count += 1
    return count


def _void(connection: sqlite3.Connection) -> None:
    views.rebuild(connection)
    begin_anew(connection)
    connection.execute("INSERT OR REPLACE INTO about VALUES (?, '1')", (PENDING,))


def _quotes(value: Any, text: str) -> bool:
    """Whether a text stands in any string of a record, or of JSON-shaped data."""
    if isinstance(value, str):
        return text in value
    if isinstance(value, Mapping):
        return any(_quotes(key, text) or _quotes(item, text) for key, item in value.items())
    if isinstance(value, list | tuple):
        return any(_quotes(item, text) for item in value)
    if isinstance(value, Record):
        envelope = (value.when_to_use, value.tags, value.source_ids, value.evidence_ids)
        return _quotes((value.body_json, *envelope), text)
    return False


def _blackened(value: Any, texts: Sequence[str]) -> Any:
    if isinstance(value, str):
        for text in texts:
            value = value.replace(text, BLACKENED)
        return value
    if isinstance(value, Mapping):
        return {_blackened(k, texts): _blackened(item, texts) for k, item in value.items()}
    return [_blackened(item, texts) for item in value] if isinstance(value, list | tuple) else value
