"""The records of memory: one envelope, four kinds of body.

A record's id is the SHA-256 of its kind, repo, scope and body in canonical JSON, and of
nothing else, so that merging two journals is a union. Bodies leave out what is empty: a
field added later changes no id. `repo` is the repository's identity (core.git).
"""

import hashlib
import json
import zlib
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from evo_agent.core.errors import StoreError
from evo_agent.memory.journal.bodies import Body, Kind, body_from_json, body_to_json, kind_of
from evo_agent.memory.journal.redact import redact, redact_value

SCHEMA = 1
LARGEST_RECORD = 512 * 1024  # bytes of canonical JSON; a larger one is refused
_LEVEL = 1  # of zlib: a third of the bytes for 5 % of the time that a commit takes
LONGEST_TEXT = 16_000  # characters of an issue, a message or a skill's body
LONGEST_DIFF = 8_000  # characters of a stored change


class Scope(StrEnum):
    """Who may recall a record: the same repository, the same language's, or everybody."""

    REPO = "repo"
    LANGUAGE = "language"
    GLOBAL = "global"


class State(StrEnum):
    """Where a record stands in its life; see memory.lifecycle for the transitions."""

    CANDIDATE = "candidate"
    VALIDATED = "validated"
    ACTIVE = "active"
    QUARANTINED = "quarantined"
    ARCHIVED = "archived"


class Trust(StrEnum):
    """Who stands behind a record."""

    HUMAN = "human"
    VERIFIED = "verified"
    MODEL = "model"
    UNTRUSTED = "untrusted"


@dataclass(frozen=True, slots=True)
class AsOf:
    """When a record became knowable: the commit, and seconds since 1970."""

    commit: str = ""
    time: float = 0.0


@dataclass(frozen=True)
class Record:
    """The envelope. Build it with `make`, which redacts.

    Attributes:
        state: the state at birth; the present one is the journal's.
        as_of: when it became knowable; recall filters by it.
        created: when it was written, seconds since 1970.
        source_ids: records, commits or runs it was made from.
        evidence_ids: what shows that it is true ("run:<id>#<event>").
        parent_id: the version it replaces.
        when_to_use: one line that a recall matches.
    """

    kind: Kind
    repo: str
    scope: Scope
    body: Body
    schema: int = SCHEMA
    state: State = State.CANDIDATE
    as_of: AsOf = AsOf()
    created: float = 0.0
    source_ids: tuple[str, ...] = ()
    evidence_ids: tuple[str, ...] = ()
    parent_id: str = ""
    trust: Trust = Trust.UNTRUSTED
    when_to_use: str = ""
    tags: tuple[str, ...] = ()

    @cached_property
    def body_json(self) -> dict[str, Any]:
        """The body as it is hashed and stored."""
        return body_to_json(self.body)

    @cached_property
    def id(self) -> str:
        """SHA-256 over kind, repo, scope and body, as 64 hexadecimal digits."""
        where = canonical([self.kind, self.repo, self.scope])
        return hashlib.sha256(where[:-1] + b"," + self.body_line + b"]").hexdigest()

    @cached_property
    def body_line(self) -> bytes:
        """The body in canonical JSON."""
        return canonical(self.body_json)


def make(body: Body, **envelope: Any) -> Record:
    """Build a record from a body, with every secret and control character taken out.

    Args:
        body: one of the four kinds.
        **envelope: fields of Record other than kind and body.
    """
    kind = kind_of(body)
    clean = body_from_json(kind, redact_value(body_to_json(body)))
    record = Record(kind=kind, body=clean, **envelope)
    return replace(
        record,
        when_to_use=redact(record.when_to_use),
        tags=tuple(redact(tag) for tag in record.tags),
    )


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, in UTF-8: equal values give equal bytes."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def to_json(record: Record) -> str:
    """A record as one line of canonical JSON, its id with it.

    Raises:
        StoreError: it is larger than LARGEST_RECORD.
    """
    data = {f.name: getattr(record, f.name) for f in fields(record)}
    as_of = {"commit": record.as_of.commit, "time": record.as_of.time}
    outside = canonical(data | {"id": record.id, "body": None, "as_of": as_of})
    # Keys are sorted: only as_of stands before, and in its text a quote is escaped.
    line = outside.replace(b'"body":null', b'"body":' + record.body_line, 1)
    if len(line) > LARGEST_RECORD:
        raise StoreError(
            f"a record of {len(line):,} bytes is refused (at most {LARGEST_RECORD:,})",
            "shorten the text or the diff that it was made from",
        )
    return line.decode("utf-8", "surrogatepass")


def from_json(line: str, *, verify: bool = True) -> Record:
    """The inverse of `to_json`.

    Args:
        line: one record.
        verify: whether to compute the id anew. What comes from elsewhere must be verified; what
            `unpack` gives was, when it was written, and has a checksum.

    Raises:
        StoreError: it is no record, is from a newer schema, or its id does not fit its content.
    """
    try:
        data = json.loads(line)
        claimed, schema = data.pop("id"), data["schema"]
        if schema > SCHEMA:
            raise StoreError(f"a record of schema {schema} (known: {SCHEMA})", "upgrade evo")
        record = _from_fields(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"a record cannot be read: {error}", "rebuild or restore it") from error
    if not verify:
        record.__dict__["id"] = claimed  # where cached_property keeps it
    elif record.id != claimed:
        raise StoreError(f"record {claimed[:12]} does not fit its id", "restore it from a copy")
    return record


def pack(record: Record) -> bytes:
    """A record as the journal stores it: its `to_json` as a zlib stream.

    Such a stream ends in a checksum of the text (RFC 1950), so that damage is noticed when it
    is read.

    Raises:
        StoreError: it is larger than LARGEST_RECORD.
    """
    return zlib.compress(to_json(record).encode("utf-8", "surrogatepass"), _LEVEL)


def unpack(data: bytes) -> str:
    """The inverse of `pack`, to the line of JSON.

    Raises:
        StoreError: the bytes are not those that were written.
    """
    try:
        return zlib.decompress(data).decode("utf-8", "surrogatepass")
    except (zlib.error, ValueError, TypeError) as error:
        raise StoreError(
            f"a record in the journal is damaged: {error}", "restore the journal from a copy"
        ) from error


def _from_fields(data: dict[str, Any]) -> Record:
    kind = Kind(data["kind"])
    return Record(
        kind=kind,
        repo=data["repo"],
        scope=Scope(data["scope"]),
        body=body_from_json(kind, data["body"]),
        schema=data["schema"],
        state=State(data["state"]),
        as_of=AsOf(**data["as_of"]),
        created=data["created"],
        source_ids=tuple(data["source_ids"]),
        evidence_ids=tuple(data["evidence_ids"]),
        parent_id=data["parent_id"],
        trust=Trust(data["trust"]),
        when_to_use=data["when_to_use"],
        tags=tuple(data["tags"]),
    )


def precedence(record: Record) -> tuple[int, float, str]:
    """Which of two copies of a record counts, where journals meet: the smaller one.

    Copies have one id and so one content, but each its own envelope. The better trusted counts,
    then the older, then whichever comes first as text: the same one wherever they meet.
    """
    return list(Trust).index(record.trust), record.created, to_json(record)


def bounded(text: str, limit: int) -> str:
    """Cut a text at a bound of characters, saying how much is gone."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[… {len(text) - limit:,} more characters]"
