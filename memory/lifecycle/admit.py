"""Near-duplicates become one record: same kind, same type, same scope, same thing said.

Two texts say the same when their vectors are near enough *and* nothing that turns a sentence
around differs: negations, numbers, quoted code, and the predicates of a law. The threshold
belongs to the embedder (EvolveR's 0.85 to its own); bench/merging.py measures it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from evo_agent.memory.journal.bodies import Insight
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import Record, Scope, State, Trust, make
from evo_agent.memory.journal.rows import Change, Stored, added
from evo_agent.memory.journal.states import ASLEEP, steps, transition
from evo_agent.memory.recall.embed import Vector

# Cosine from which two lessons say the same, by embedder: where at most one in a hundred nearest
# neighbours that say something else would merge (bench/merging.py: 0.82 % of 7,446, and 35 % of
# 139 commits that were worded anew; at EvolveR's 0.85 they are 1.56 % and 46 %).
MERGE_COSINE: Mapping[str, float] = {"lexical-2": 0.90}
UNMEASURED = 0.95  # of any other embedder: merging too little costs less than too much
_OUTRANKS = (Trust.HUMAN, Trust.VERIFIED, Trust.MODEL, Trust.UNTRUSTED)  # human outranks model
_STATES = (State.ACTIVE, State.VALIDATED, State.CANDIDATE)
_TURNS = re.compile(
    r"\b(?:not|no|never|without|avoid|nor|cannot|don't|doesn't|isn't|won't|can't|unless|except)\b",
    re.IGNORECASE,
)
_EXACT = re.compile(r"`[^`\n]+`|\b\d+(?:\.\d+)*\b")


def threshold(embedder: str, configured: float = 0.0) -> float:
    """The cosine from which lessons merge; a configured one comes first."""
    return configured or MERGE_COSINE.get(embedder, UNMEASURED)


def says_the_same_otherwise(one: str, other: str) -> bool:
    """Whether negations, numbers and quoted code agree, which near vectors do not tell."""
    return _turns(one) == _turns(other)


def groups(insights: Iterable[Stored]) -> list[list[Stored]]:
    """What may merge with each other: same type, scope, repository (if of one) and predicates."""
    found: dict[tuple[str, ...], list[Stored]] = {}
    for stored in insights:
        body, record = stored.record.body, stored.record
        if isinstance(body, Insight) and stored.state not in ASLEEP:
            repo = record.repo if record.scope is Scope.REPO else ""
            key = (
                body.type,
                record.scope,
                repo,
                body.precondition,
                body.effect,
                *_turns(body.text),
            )
            found.setdefault(key, []).append(stored)
    return [group for group in found.values() if len(group) > 1]


def clusters(
    group: Sequence[Stored], vectors: Mapping[str, Vector | None], least: float
) -> list[list[Stored]]:
    """Sets of records that are all near to each other, each record in one at most.

    Complete linkage: a chain of small steps does not make its ends the same. Nearest pairs come
    first, and equal ones by id, so the same records give the same clusters.
    """
    near = sorted(_near(sorted(group, key=lambda s: s.record.id), vectors, least), key=_nearest)
    close = {frozenset((a.record.id, b.record.id)) for _, a, b in near}
    homes: dict[str, list[Stored]] = {}
    for _, one, other in near:
        mine = homes.setdefault(one.record.id, [one])
        theirs = homes.setdefault(other.record.id, [other])
        pairs = (frozenset((a.record.id, b.record.id)) for a in mine for b in theirs)
        if mine is not theirs and all(pair in close for pair in pairs):
            mine += theirs
            homes.update((stored.record.id, mine) for stored in theirs)
    return list({id(home): home for home in homes.values() if len(home) > 1}.values())


def _near(
    ordered: Sequence[Stored], vectors: Mapping[str, Vector | None], least: float
) -> list[tuple[float, Stored, Stored]]:
    """Pairs from a cosine on, each once."""
    import numpy as np

    known = [(s, v) for s in ordered if (v := vectors.get(s.record.id)) is not None]
    if len(known) < 2:  # noqa: PLR2004 - a pair
        return []
    matrix = np.asarray([vector for _, vector in known], dtype=np.float64)
    cosines = np.triu(matrix @ matrix.T, 1)
    return [
        (float(cosines[a, b]), known[a][0], known[b][0])
        for a, b in np.argwhere((cosines >= least) & (cosines > 0)).tolist()
    ]


def _nearest(pair: tuple[float, Stored, Stored]) -> tuple[float, str, str]:
    return (-round(pair[0], 9), pair[1].record.id, pair[2].record.id)


def merged(cluster: Sequence[Stored]) -> Record:
    """One record for several: the words of whoever outranks the others, everybody's evidence.

    All their ids live on, as sources and in the body; so the same cluster gives the same id.
    """
    first, *_ = ranked = sorted(cluster, key=_rank)
    body, record = first.record.body, first.record
    assert isinstance(body, Insight)
    ids = tuple(sorted(stored.record.id for stored in cluster))
    issues = {i for s in cluster for i in s.record.body.issue_id.split("\n") if i}
    everyone = [stored.record for stored in ranked]
    return make(
        replace(body, merged=ids, issue_id="\n".join(sorted(issues))),
        repo=record.repo,
        scope=record.scope,
        as_of=max((r.as_of for r in everyone), key=lambda a: (a.time, a.commit)),
        created=max(r.created for r in everyone),
        source_ids=tuple(r.id for r in everyone),
        evidence_ids=tuple(dict.fromkeys(e for r in everyone for e in r.evidence_ids)),
        parent_id=record.id,
        trust=record.trust,
        when_to_use=record.when_to_use,
        tags=tuple(dict.fromkeys(tag for r in everyone for tag in r.tags)),
    )


def merging(journal: Journal, cluster: Sequence[Stored], run: str) -> list[Change]:
    """The events that merge a cluster: the one that stays, its state and credit, the others' end.

    Two plain records become a new one. One that was merged before takes others in, and stays.
    """
    first = min(cluster, key=_rank)
    if _merged_before(first):
        heir, others, arrival = first.record.id, [s for s in cluster if s is not first], []
    else:
        new = merged(cluster)
        heir, others, arrival = new.id, list(cluster), _arrival(journal, new, cluster, run)
    ends = (
        Change(end.kind, end.record, {**end.data, "into": heir})
        for stored in others
        for end in [transition(stored, State.ARCHIVED, run, f"merged into {heir[:12]}")]
    )
    taken = [stored.record.id for stored in others]
    return [
        *arrival,
        Change("merged", heir, {"from": taken, "run": run}),
        *_inherited(journal, others, heir),
        *ends,
    ]


def heir(journal: Journal, record_id: str) -> str:
    """The record that a merged one became part of; itself when it was not merged."""
    seen: set[str] = set()
    while record_id not in seen:
        seen.add(record_id)
        moves = journal.events(record=record_id, kind="state")
        record_id = str(moves[-1].data.get("into", record_id)) if moves else record_id
    return record_id


def _arrival(journal: Journal, new: Record, cluster: Sequence[Stored], run: str) -> list[Change]:
    """The events that bring the merged record in, as far along as the best of its cluster."""
    best = min((stored.state for stored in cluster), key=_STATES.index)
    path = {State.ACTIVE: (State.VALIDATED, State.ACTIVE), State.VALIDATED: (State.VALIDATED,)}
    known = journal.get(new.id)
    start = known.state if known is not None else new.state
    again = (State.CANDIDATE,) if start in ASLEEP else ()
    why = f"merged from {', '.join(stored.record.id[:12] for stored in cluster)}"
    return [added(new), *steps(new.id, start, (*again, *path.get(best, ())), run, why)]


def _merged_before(stored: Stored) -> bool:
    return isinstance(stored.record.body, Insight) and bool(stored.record.body.merged)


def _inherited(journal: Journal, cluster: Sequence[Stored], heir: str) -> Iterator[Change]:
    """What the cluster earned and observed, under the runs that earned it."""
    for stored in cluster:
        for event in journal.events(record=stored.record.id):
            if event.kind == "credit":
                of = event.data.get("of", event.run)
                yield Change("credit", heir, {**event.data, "of": of})
            elif event.kind == "observed":
                yield Change("observed", heir, event.data)


def _rank(stored: Stored) -> tuple[int, int, int, int, float, str]:
    """Trust before everything: what a model words never outranks a human's or a verified record."""
    record = stored.record
    trust, state = _OUTRANKS.index(record.trust), _STATES.index(stored.state)
    settled = 0 if _merged_before(stored) else 1
    return (trust, settled, state, -stored.uses, record.created, record.id)


def _turns(text: str) -> tuple[str, ...]:
    """What must not differ between two sentences that say the same."""
    words = sorted(match.lower() for match in _TURNS.findall(text))
    return (" ".join(words), " ".join(sorted(set(_EXACT.findall(text)))))
