"""Memory as JSONL: what one line of an export says, and what is refused of somebody else's.

    {"evo-memory":1,"schema":1}                                    the header, first
    {"record":{"as_of":…,"body":…,"id":…,"kind":…,…}}              a record, as it is hashed
    {"event":{"data":…,"kind":…,"record":…,"run":…,"time":…}}      what happened to one

Lines are canonical JSON: equal memories give equal bytes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from evo_agent.core.errors import StoreError
from evo_agent.memory.journal.records import (
    LARGEST_RECORD,
    SCHEMA,
    Record,
    State,
    canonical,
    from_json,
    to_json,
)

FORMAT = 1
LARGEST_LINE = LARGEST_RECORD + 1024  # bytes; longer ones are refused unread
LOCAL = ("skill-written", "rebuilt")  # events about this machine: they stay here
_BEYOND = 2**53  # no time, line or count is as large; neither is nan or infinity below it
_REMEDY = "export it again, or take the line out"


@dataclass(frozen=True, slots=True)
class Told:
    """An event as it travels. Its number in its run is its journal's and stays behind."""

    run: str
    kind: str
    record: str
    data: Mapping[str, Any]
    time: float

    @property
    def digest(self) -> str:
        """SHA-256 of its line: what remains of an event that was purged."""
        return hashlib.sha256(event_line(self).encode()).hexdigest()


def header() -> str:
    """The first line."""
    return canonical({"evo-memory": FORMAT, "schema": SCHEMA}).decode()


def record_line(packed: str) -> str:
    """A record's line, from its `records.to_json`."""
    return f'{{"record":{packed}}}'


def event_line(event: Told) -> str:
    """An event's line."""
    return canonical({"event": asdict(event)}).decode()


def check_header(line: str) -> None:
    """Refuse what is no export, or one of a newer evo.

    Raises:
        StoreError: says which.
    """
    try:
        data = _loads(line)
        found, schema = int(data["evo-memory"]), int(data["schema"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        cause = "this is no export of evo's memory: its first line is no header"
        raise StoreError(cause, "write one with `evo memory export`") from error
    if found > FORMAT or schema > SCHEMA:
        raise StoreError(f"written by a newer evo (format {found}, schema {schema})", "upgrade evo")


def parse(line: str) -> Record | Told:
    """One line after the header.

    Raises:
        StoreError: it is neither record nor event, or the record's id does not fit its content.
    """
    try:
        data = _loads(line)
        if set(data) == {"record"}:
            return _record(data["record"])
        if set(data) == {"event"}:
            return _event(data["event"])
    except StoreError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise StoreError(f"no record and no event ({reason})", _REMEDY) from error
    raise StoreError("no record and no event", _REMEDY)


def _record(data: Mapping[str, Any]) -> Record:
    record = from_json(canonical(data).decode())
    if not _fits(record, Record):
        raise StoreError("a field of the record has a value of another type", _REMEDY)
    to_json(record)  # refuses what is too large
    return record


def _event(data: Mapping[str, Any]) -> Told:
    event = Told(**data)
    if not _fits(event, Told) or not event.run or event.kind in ("", "record", *LOCAL):
        raise StoreError("an event that no journal has", _REMEDY)
    if event.kind == "state":
        State(event.data["to"])
    if event.kind == "credit":
        int(event.data["win"])
    event_line(event)
    return event


def _loads(line: str) -> Any:
    return json.loads(line, parse_constant=_no_number)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value has the type that a dataclass's field promises, all the way down."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, arg) for arg in args)
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(item, args[0]) for item in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(item, args[1]) for item in value.values())
    if isinstance(hint, type) and is_dataclass(hint):
        known = _hints(hint).items()
        return isinstance(value, hint) and all(_fits(getattr(value, n), h) for n, h in known)
    if hint in (int, float):
        return type(value) in {hint, int} and abs(value) < _BEYOND
    return hint is Any or type(value) is hint
