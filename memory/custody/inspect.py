"""Looking into memory: how much there is, what it holds, and where a record comes from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from evo_agent.core.errors import StoreError
from evo_agent.memory.journal.bodies import Episode
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.rows import JournalEvent, Stored
from evo_agent.memory.journal.schema import translated
from evo_agent.memory.journal.words import terms
from evo_agent.memory.lifecycle.credit import utility
from evo_agent.memory.recall.present import title

_DEPTH = 5  # steps from a record back to its sources


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """How much there is.

    Attributes:
        records: in all; by: by "kind/origin/state"; purged: tombstones; events: of whatever kind.
        journal_bytes, index_bytes: on the disk; the index is everything that is derived.
        folder: of both.
        generation: which journal, and the number of its last record, which an index compares.
        repositories: identity to where it was last seen on this machine.
    """

    records: int
    by: Mapping[str, int]
    journal_bytes: int
    index_bytes: int
    folder: str
    purged: int = 0
    events: int = 0
    generation: str = ""
    repositories: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """A record that holds words of a search, in whatever state. `score` is BM25."""

    id: str
    kind: str
    state: str
    trust: str
    repo: str
    title: str
    score: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What shows that a record is true: `run:<id>#<event>`, and the run's folder if it is here."""

    id: str
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """A record in the chain to where it comes from.

    Attributes:
        commit: of a commit's episode.
        happened: lines, oldest first: stored, states with reasons, credits.
        sources: records it was made from, in turn; origins: commits and runs named by id only.
        made: ids of the records that were made from it.
    """

    id: str
    kind: str
    title: str
    state: str
    trust: str
    uses: int
    wins: int
    losses: int
    utility: float
    commit: str = ""
    evidence: tuple[Evidence, ...] = ()
    happened: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    sources: tuple["Link", ...] = ()
    made: tuple[str, ...] = ()


def stats(journal: Journal, folder: Path) -> MemoryStats:
    """Count and measure."""
    by = {"/".join(filter(None, (k, o, s))): n for k, o, s, n in journal.counts()}
    with translated(folder):
        sizes = {f: f.stat().st_size for f in folder.rglob("*") if f.is_file()}
    own = [size for f, size in sizes.items() if f.name.startswith(journal.path.name)]
    generation = journal.generation()
    return MemoryStats(
        records=journal.count(),
        by=by,
        journal_bytes=sum(own),
        index_bytes=sum(sizes.values()) - sum(own),
        folder=str(folder),
        purged=sum(1 for event in journal.events(kind="purge") if event.record),
        events=journal.position(),
        generation=f"{generation.epoch[:8]}#{generation.number}",
        repositories=roots(journal),
    )


def roots(journal: Journal) -> dict[str, str]:
    """Identity of each repository that was learnt from, and where it lay on this machine."""
    with journal.transaction(write=False) as connection:
        sql = "SELECT substr(key, 6), value FROM about WHERE key GLOB 'root:*' ORDER BY 1"
        return {str(key): str(value) for key, value in connection.execute(sql)}


def search(journal: Journal, text: str, limit: int) -> tuple[Match, ...]:
    """Records that hold words of a text, best first; quarantined and archived ones, too."""
    scores: dict[int, float] = {}
    for number, score in journal.matches(list(dict.fromkeys(terms(text)))):
        if len(scores) == limit:
            break
        scores[number] = score
    found = journal.numbered(scores)
    return tuple(_match(found[n], score) for n, score in scores.items() if n in found)


def chain(journal: Journal, record_id: str) -> Link:
    """A record, its evidence, everything that happened to it, and what it was made from.

    Raises:
        StoreError: there is no such record.
    """
    stored = journal.get(record_id)
    if stored is None:
        raise StoreError(f"no record {record_id}", "see `evo memory search` for ids")
    return _link(journal, stored, roots(journal), frozenset())


def explain(journal: Journal, record_id: str) -> str:
    """`chain` as lines of text.

    Raises:
        StoreError: there is no such record.
    """
    return "\n".join(told(chain(journal, record_id)))


def told(link: Link, depth: int = 0) -> Iterator[str]:
    """A chain as lines, each step further back indented further."""
    pad = "  " * depth
    yield f"{pad}{link.kind} {link.id[:12]} “{' '.join(link.title.split())}”"
    counts = f"uses {link.uses}, wins {link.wins}, losses {link.losses}, U {link.utility:.2f}"
    yield f"{pad}  {link.state}, trust {link.trust}, {counts}"
    for evidence in link.evidence:
        yield f"{pad}  evidence {evidence.id}" + (
            f" in {evidence.folder}" if evidence.folder else ""
        )
    yield from (f"{pad}  {line}" for line in link.happened)
    yield from (f"{pad}  from {origin}" for origin in link.origins)
    for source in link.sources:
        yield f"{pad}  from"
        yield from told(source, depth + 2)
    yield from (f"{pad}  became {made[:12]}" for made in link.made)


def _match(stored: Stored, score: float) -> Match:
    record = stored.record
    return Match(
        id=record.id,
        kind=record.kind.value,
        state=stored.state.value,
        trust=record.trust.value,
        repo=record.repo,
        title=" ".join(title(stored).split()),
        score=round(score, 3),
    )


def _link(
    journal: Journal, stored: Stored, places: Mapping[str, str], above: frozenset[str]
) -> Link:
    record = stored.record
    back = (*record.source_ids, *filter(None, (record.parent_id,)))
    seen = above | {record.id}
    deeper = len(above) < _DEPTH
    sources = [s for s in map(journal.get, back) if s is not None]
    known = {s.record.id for s in sources}
    return Link(
        id=record.id,
        kind=record.kind.value,
        title=title(stored),
        state=stored.state.value,
        trust=record.trust.value,
        uses=stored.uses,
        wins=stored.wins,
        losses=stored.losses,
        utility=round(utility(stored.uses, stored.wins), 4),
        commit=record.body.sha if isinstance(record.body, Episode) else "",
        evidence=tuple(_evidence(i, places.get(record.repo, "")) for i in record.evidence_ids),
        happened=tuple(map(_happened, journal.events(record=record.id))),
        origins=tuple(source for source in back if source not in known),
        sources=tuple(
            _link(journal, s, places, seen) for s in sources if deeper and s.record.id not in seen
        ),
        made=() if above else tuple(s.record.id for s in journal.made_from(record.id)),
    )


def _evidence(evidence_id: str, root: str) -> Evidence:
    run = evidence_id.removeprefix("run:").partition("#")[0]
    folder = Path(root) / ".evo" / "runs" / run
    here = evidence_id.startswith("run:") and root and run and folder.is_dir()
    return Evidence(evidence_id, str(folder) if here else "")


def _happened(event: JournalEvent) -> str:
    when = datetime.fromtimestamp(event.time, UTC).isoformat(" ", "seconds")
    match event.kind:
        case "record":
            what = "stored"
        case "state":
            what = f"{event.data.get('from')} → {event.data['to']}: {event.data.get('why', '')}"
        case "credit":
            what = f"{'win' if event.data['win'] else 'loss'} ({event.data.get('grade', '')})"
        case "observed":
            what = "confirmed by a run" if event.data["held"] else "refuted by a run"
        case "evidence":
            what = f"seen again: {', '.join(map(str, event.data['ids']))}"
        case "skill-written":
            what = f"written to {event.data['folder']}"
        case _:
            what = event.kind
    return f"{when} {what} [{event.run}]"
