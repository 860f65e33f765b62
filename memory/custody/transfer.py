"""Memory out of and into files, and several memories made one.

An export is a function of what is known, not of the order in which it arrived: the same records
and events give the same bytes. So import is idempotent, exporting what was imported with trust
gives the file back, and merging is the same whichever journal comes first.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from evo_agent.core.errors import StoreError
from evo_agent.memory.custody.absorb import Taken, absorb
from evo_agent.memory.custody.wire import (
    LARGEST_LINE,
    LOCAL,
    Told,
    check_header,
    event_line,
    header,
    parse,
    record_line,
)
from evo_agent.memory.journal.appending import purged
from evo_agent.memory.journal.journal import FILE, Journal
from evo_agent.memory.journal.records import Record, unpack
from evo_agent.memory.journal.redact import redact_value

_BATCH = 500  # lines taken in one transaction


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that was refused; `number` counts from 1."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import or a merge did.

    Attributes:
        taken: what came in.
        refused: lines that did not, with the reason; none of a merge.
        trusted: whether trust, states and credits were taken as claimed.
    """

    taken: Taken
    refused: tuple[Refused, ...] = ()
    trusted: bool = False


def lines(journal: Journal) -> Iterator[str]:
    """A whole memory as lines without line ends: header, records by time, then events.

    Left out are events about this machine, and about records that were purged.
    """
    with journal.transaction(write=False) as connection:
        yield header()
        sql = "SELECT e.data FROM records r JOIN events e ON e.position = r.event ORDER BY r.time, r.id"
        for (data,) in connection.execute(sql):
            yield record_line(unpack(data))
        yield from _events(connection)


def take_lines(journal: Journal, file: BinaryIO, *, trust: bool = False) -> ImportReport:
    """Take in what `lines` gave; a damaged line is refused, and the others are not lost for it.

    Args:
        journal: where to.
        file: bytes, line by line.
        trust: see absorb.

    Raises:
        StoreError: it is no export, is from a newer evo, or the journal cannot be written.
    """
    numbered = enumerate(_bounded_lines(file), 1)
    _, first = next(numbered, (0, b""))
    check_header((first or b"").decode("utf-8", "replace"))
    refused: list[Refused] = []
    taken = Taken()
    while batch := list(islice(numbered, _BATCH)):
        entries = [_entry(number, raw, refused, trust=trust) for number, raw in batch]
        taken += absorb(journal, [entry for entry in entries if entry], trust=trust)
    return ImportReport(taken, tuple(refused), trust)


def merge(journal: Journal, others: Iterable[Path]) -> ImportReport:
    """Take in whole memories of one's own: a worker's, another machine's.

    Args:
        journal: where to.
        others: their folders. They are trusted as this one is.

    Raises:
        StoreError: a folder holds no journal, a newer or a damaged one.
    """
    taken = Taken()
    for folder in others:
        if not (folder / FILE).is_file():
            raise StoreError(f"{folder} holds no {FILE}", "name the folder of another memory")
        with Journal(folder) as other:
            entries = (parse(line) for line in islice(lines(other), 1, None))
            while batch := list(islice(entries, _BATCH)):
                taken += absorb(journal, batch, trust=True)
    return ImportReport(taken, trusted=True)


def _events(connection: sqlite3.Connection) -> list[str]:
    sql = "SELECT run, kind, record, data, time FROM events WHERE kind != 'record'"
    gone = purged(connection)
    told = (
        Told(run, kind, record, json.loads(data), time)
        for run, kind, record, data, time in connection.execute(sql)
        if kind not in LOCAL and (kind == "purge" or record not in gone)
    )
    # The same event in two numbers of its run is one.
    return [line for *_, line in sorted({(t.kind != "purge", t.time, event_line(t)) for t in told})]


def _entry(
    number: int, raw: bytes | None, refused: list[Refused], *, trust: bool
) -> Record | Told | None:
    """One line's content; None when it is refused, which is noted."""
    if raw is None:
        refused.append(Refused(number, f"longer than {LARGEST_LINE:,} bytes"))
        return None
    try:
        entry = parse(raw.decode("utf-8"))
        if not trust and isinstance(entry, Record):
            _refuse_unclean(raw)
    except UnicodeDecodeError:
        refused.append(Refused(number, "not UTF-8"))
    except StoreError as error:
        refused.append(Refused(number, error.cause))
    else:
        return entry
    return None


def _refuse_unclean(raw: bytes) -> None:
    """What evo writes was redacted; redacting it again changes nothing."""
    data = json.loads(raw)
    if redact_value(data) != data:
        raise StoreError("holds what looks like a secret, or control characters")


def _bounded_lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Lines without their ends; None in the place of one that is too long to be read."""
    while line := file.readline(LARGEST_LINE + 1):
        if line.endswith(b"\n") or len(line) <= LARGEST_LINE:
            yield line.rstrip(b"\r\n")
            continue
        while (rest := file.readline(LARGEST_LINE)) and not rest.endswith(b"\n"):
            pass
        yield None
