"""Taking records and events of other journals into this one: a union, in whatever order.

Of two copies of a record the one that takes precedence counts (records.precedence), a step in a
record's life counts by its time, a credit once a run: merging twice changes nothing, and A with B
is B with A. What was purged on either side is gone from both.
"""

import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from evo_agent.memory.custody import purge
from evo_agent.memory.custody.wire import Told
from evo_agent.memory.journal import views
from evo_agent.memory.journal.appending import begin_anew, last, numbers, purged
from evo_agent.memory.journal.appending import event as append_event
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import Record, State, Trust, canonical, precedence
from evo_agent.memory.journal.rows import Change

_ABOUT_RECORDS = ("state", "credit")  # events that mean nothing without their record


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken in.

    Attributes:
        records: new ones.
        copies: of known records, with an envelope that takes precedence over the present one.
        events: new ones.
        known: lines that told nothing new.
        left_out: lines that are about purged or absent records, or that trust is needed for.
        purged: records that are gone, because they were purged where this comes from.
    """

    records: int = 0
    copies: int = 0
    events: int = 0
    known: int = 0
    left_out: int = 0
    purged: int = 0

    def __add__(self, other: "Taken") -> "Taken":
        """Add up."""
        return Taken(*(getattr(self, n) + getattr(other, n) for n in self.__dataclass_fields__))


def absorb(journal: Journal, entries: Sequence[Record | Told], *, trust: bool) -> Taken:
    """Take lines in, in one transaction.

    Args:
        journal: this one.
        entries: records before the events about them.
        trust: take trust, states, credits and purges as claimed. Without it records alone come
            in, as untrusted candidates, and nothing that is known changes.

    Raises:
        StoreError: the journal cannot be written; then nothing of these was taken.
    """
    records = [entry for entry in entries if isinstance(entry, Record)]
    events = [entry for entry in entries if isinstance(entry, Told)]
    with journal.transaction() as connection:
        if not trust:
            taken = _records(connection, [_doubted(record) for record in records], copies=False)
            return taken + Taken(left_out=len(events))
        return _records(connection, records, copies=True) + _events(connection, events)


def _doubted(record: Record) -> Record:
    return replace(record, trust=Trust.UNTRUSTED, state=State.CANDIDATE)


def _records(connection: sqlite3.Connection, records: Sequence[Record], *, copies: bool) -> Taken:
    known = set(numbers(connection, [record.id for record in records]))
    gone = purged(connection)
    run = f"import-{uuid.uuid4().hex}"
    taken, sequence, anew = Taken(), 0, False
    for record in records:
        if record.id in gone:
            taken += Taken(left_out=1)
        elif record.id not in known:
            sequence += 1
            row = views.laid(record)
            position = append_event(connection, (run, sequence), ("record", record.id), row.data)
            views.add(connection, position, row)
            known.add(record.id)
            taken += Taken(records=1)
        elif copies and precedence(record) < precedence(views.present(connection, record.id)[1]):
            sequence += 1
            data = views.laid(record).data
            position = append_event(connection, (run, sequence), ("record", record.id), data)
            anew |= views.replace(connection, position, record)
            taken += Taken(copies=1)
        else:
            taken += Taken(known=1)
    if anew:
        begin_anew(connection)
    return taken


def _events(connection: sqlite3.Connection, events: Iterable[Told]) -> Taken:
    taken, fresh = Taken(), []
    erased = purge.erased(connection)
    gone = purged(connection)
    present = set(numbers(connection, [event.record for event in events]))
    for event in events:
        if event.kind == "purge":
            pass
        elif (
            event.digest in erased
            or event.record in gone
            or (event.kind in _ABOUT_RECORDS and event.record not in present)
        ):
            taken += Taken(left_out=1)
            continue
        if _holds(connection, event):
            taken += Taken(known=1)
            continue
        place = (event.run, last(connection, event.run) + 1)
        what = (event.kind, event.record)
        append_event(connection, place, what, canonical(event.data).decode(), event.time)
        views.apply(connection, event.run, Change(event.kind, event.record, event.data))
        fresh += [event] if event.kind == "purge" else []
        taken += Taken(events=1)
    return taken + Taken(purged=purge.follow(connection, fresh))


def _holds(connection: sqlite3.Connection, event: Told) -> bool:
    sql = (
        "SELECT 1 FROM events WHERE record = ? AND kind != 'record' AND kind = ? AND run = ? "
        "AND time = ? AND data = ?"
    )
    data = canonical(event.data).decode()
    row = (event.record, event.kind, event.run, event.time, data)
    return connection.execute(sql, row).fetchone() is not None
