"""What goes into the journal and what comes out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from evo_agent.memory.journal.records import Record, State


@dataclass(frozen=True, slots=True)
class Change:
    """An event to be appended: record | state | credit | note, about a record."""

    kind: str
    record: str
    data: Mapping[str, Any] = field(default_factory=dict)
    new: Record | None = None  # of kind record


@dataclass(frozen=True, slots=True)
class JournalEvent:
    """An event as it stands in the journal; `time` is seconds since 1970."""

    run: str
    sequence: int
    kind: str
    record: str
    data: Mapping[str, Any]
    time: float


@dataclass(frozen=True, slots=True)
class Stored:
    """A record with what the journal knows about it today.

    Attributes:
        number: order of arrival; grows.
        uses, wins: verified runs that cited it, and how many of them held.
    """

    number: int
    record: Record
    state: State
    uses: int
    wins: int

    @property
    def losses(self) -> int:
        """Verified runs that cited it and did not hold."""
        return self.uses - self.wins


@dataclass(frozen=True, slots=True)
class Place:
    """What a filter needs to know of a record, without reading it."""

    number: int
    id: str
    kind: str
    repo: str
    scope: str
    state: str
    origin: str
    issue: str
    sha: str
    time: float


@dataclass(frozen=True, slots=True)
class Laid:
    """A record laid out for the journal: all that can be done to it before a transaction.

    Attributes:
        id: the record's.
        data: see records.pack.
        columns: kind, repo, scope, state, origin, issue, sha, name, time: see Place.
        sources: ids of what it was made from.
        search: terms of title, paths, text and diff, each joined by spaces.
        features: see features.packed.
    """

    id: str
    data: bytes
    columns: tuple[str | float, ...]
    sources: tuple[str, ...]
    search: tuple[str, ...]
    features: bytes


class Generation(NamedTuple):
    """Which journal, how many records, and the last one's id."""

    epoch: str
    number: int
    last: str


def added(record: Record) -> Change:
    """The event that adds a record."""
    return Change("record", record.id, new=record)
