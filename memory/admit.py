"""Near-duplicates become one record: same kind, same type, same scope, same thing said.

Two texts say the same when their vectors are near enough *and* nothing that turns a sentence
around differs: negations, numbers, quoted code, and the predicates of a law. The threshold
belongs to the embedder (EvolveR's 0.85 to its own); bench/merging.py measures it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from evo_agent.memory.bodies import Insight
from evo_agent.memory.embed import Vector
from evo_agent.memory.journal import Journal
from evo_agent.memory.records import Record, Scope, State, Trust, make
from evo_agent.memory.rows import Change, Stored, added
from evo_agent.memory.states import ASLEEP, steps, transition

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
    near: list[tuple[float, Stored, Stored]] = []
    for one, other in combinations(sorted(group, key=lambda s: s.record.id), 2):
        cosine = _cosine(vectors.get(one.record.id), vectors.get(other.record.id))
        if cosine >= least:
            near.append((cosine, one, other))
    close = {frozenset((a.record.id, b.record.id)) for _, a, b in near}
    homes: dict[str, list[Stored]] = {}
    for _, one, other in sorted(near, key=lambda n: (-n[0], n[1].record.id, n[2].record.id)):
        mine = homes.setdefault(one.record.id, [one])
        theirs = homes.setdefault(other.record.id, [other])
        pairs = (frozenset((a.record.id, b.record.id)) for a in mine for b in theirs)
        if mine is not theirs and all(pair in close for pair in pairs):
            mine += theirs
            homes.update((stored.record.id, mine) for stored in theirs)
    return list({id(home): home for home in homes.values() if len(home) > 1}.values())


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
    """The events that merge a cluster: the new record, its state, its credit, the old ones' end."""
    new = merged(cluster)
    best = min((stored.state for stored in cluster), key=_STATES.index)
    path = {State.ACTIVE: (State.VALIDATED, State.ACTIVE), State.VALIDATED: (State.VALIDATED,)}
    names = ", ".join(stored.record.id[:12] for stored in cluster)
    why = f"merged from {names}"
    known = journal.get(new.id)
    start = known.state if known is not None else new.state
    again = (State.CANDIDATE,) if start in ASLEEP else ()
    return [
        added(new),
        *steps(new.id, start, (*again, *path.get(best, ())), run, why),
        *_inherited(journal, cluster, new.id),
        *(
            transition(stored, State.ARCHIVED, run, f"merged into {new.id[:12]}")
            for stored in cluster
        ),
    ]


def _inherited(journal: Journal, cluster: Sequence[Stored], heir: str) -> Iterator[Change]:
    """What the cluster earned and observed, under the runs that earned it."""
    for stored in cluster:
        for event in journal.events(record=stored.record.id):
            if event.kind == "credit":
                of = event.data.get("of", event.run)
                yield Change("credit", heir, {**event.data, "of": of})
            elif event.kind == "observed":
                yield Change("observed", heir, event.data)


def _rank(stored: Stored) -> tuple[int, int, int, float, str]:
    """Trust before everything: what a model words never outranks a human's or a verified record."""
    record = stored.record
    trust, state = _OUTRANKS.index(record.trust), _STATES.index(stored.state)
    return (trust, state, -stored.uses, record.created, record.id)


def _turns(text: str) -> tuple[str, ...]:
    """What must not differ between two sentences that say the same."""
    words = sorted(match.lower() for match in _TURNS.findall(text))
    return (" ".join(words), " ".join(sorted(set(_EXACT.findall(text)))))


def _cosine(one: Vector | None, other: Vector | None) -> float:
    if one is None or other is None:
        return -1.0
    return sum(a * b for a, b in zip(one, other, strict=True))
