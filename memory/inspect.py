"""Looking into memory: how much there is, and where a record comes from."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from evo_agent.core.errors import StoreError
from evo_agent.memory.journal import Journal
from evo_agent.memory.lifecycle import utility
from evo_agent.memory.present import title
from evo_agent.memory.rows import JournalEvent, Stored
from evo_agent.memory.schema import translated

_DEPTH = 5  # steps from a record back to its sources


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """Counts of records, in all and by "kind/origin/state", and bytes on the disk."""

    records: int
    by: dict[str, int]
    journal_bytes: int
    index_bytes: int
    folder: str


def stats(journal: Journal, folder: Path) -> MemoryStats:
    """Count and measure."""
    by = {"/".join(filter(None, (k, o, s))): n for k, o, s, n in journal.counts()}
    with translated(folder):
        return MemoryStats(
            records=journal.count(),
            by=by,
            journal_bytes=sum(f.stat().st_size for f in folder.glob(f"{journal.path.name}*")),
            index_bytes=sum(f.stat().st_size for f in (folder / "index").rglob("*") if f.is_file()),
            folder=str(folder),
        )


def explain(journal: Journal, record_id: str) -> str:
    """Lines from a record to its sources, its evidence and everything that happened to it.

    Raises:
        StoreError: there is no such record.
    """
    stored = journal.get(record_id)
    if stored is None:
        raise StoreError(f"no record {record_id}", "see `evo recall` or `evo skills list` for ids")
    return "\n".join(_chain(journal, stored, 0, set()))


def _chain(journal: Journal, stored: Stored, depth: int, seen: set[str]) -> Iterator[str]:
    pad = "  " * depth
    record = stored.record
    seen.add(record.id)
    yield f"{pad}{record.kind} {record.id[:12]} “{' '.join(title(stored).split())}”"
    odds = utility(stored.uses, stored.wins)
    counts = f"uses {stored.uses}, wins {stored.wins}, losses {stored.losses}, U {odds:.2f}"
    yield f"{pad}  {stored.state}, trust {record.trust}, {counts}"
    for evidence in record.evidence_ids:
        yield f"{pad}  evidence {evidence}"
    for event in journal.events(record=record.id):
        yield f"{pad}  {_happened(event)}"
    for source in (*record.source_ids, *filter(None, (record.parent_id,))):
        origin = journal.get(source)
        if origin is None:
            yield f"{pad}  from {source}"
        elif source not in seen and depth < _DEPTH:
            yield f"{pad}  from"
            yield from _chain(journal, origin, depth + 2, seen)


def _happened(event: JournalEvent) -> str:
    when = datetime.fromtimestamp(event.time, UTC).isoformat(" ", "seconds")
    match event.kind:
        case "record":
            what = "stored"
        case "state":
            what = f"{event.data['from']} → {event.data['to']}: {event.data['why']}"
        case "credit":
            what = f"{'win' if event.data['win'] else 'loss'} ({event.data['grade']})"
        case "skill-written":
            what = f"written to {event.data['folder']}"
        case _:
            what = event.kind
    return f"{when} {what} [{event.run}]"
