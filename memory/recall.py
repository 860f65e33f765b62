"""Recall: who may answer, who is near, who is near enough, and why.

The filter on time comes first and does not depend on the query's text: of commits only proper
ancestors of the base, of runs and skills only what is older than now and not of the same issue.
Then lexical (BM25), dense and path evidence is fused by score; below the floors nothing is said.
"""

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from evo_agent.core.types import Query
from evo_agent.memory.bodies import Episode, Kind
from evo_agent.memory.dense import Dense
from evo_agent.memory.document import Document, document
from evo_agent.memory.embed import Embedder
from evo_agent.memory.journal import Journal
from evo_agent.memory.records import Scope, State, Trust
from evo_agent.memory.rows import Place, Stored
from evo_agent.memory.words import spellings, terms

Ancestors = Callable[[str, str], frozenset[str]]  # (repo, base) to SHAs of proper ancestors


@dataclass(frozen=True, slots=True)
class Weights:
    """Every number that decides about a ranking, in one place."""

    coverage: float = 1.0  # share of the query's information that a record holds, 0…1
    bm25: float = 0.5  # relative to the best of the answer, 0…1
    dense: float = 1.0  # cosine, 0…1
    path: float = 0.4  # a file in question is among the record's
    verified: float = 1.25  # factor: a test stands behind it
    active: float = 1.2  # factor: it has helped before
    intent_fix: float = 1.1  # factor: the commit mended something
    # Floors: a record answers when either says that it is about the same thing.
    least_coverage: float = 0.22
    least_verified: float = 0.15  # the same for what a test proved: rare, and worth a look
    least_shared: int = 2  # terms in common, unless one alone covers `alone` of a short query
    alone: float = 0.3
    candidates: int = 60  # taken from each of the two searches
    query_terms: int = 32  # most telling terms of the query that are searched for
    reserved: int = 2  # places kept for runs and skills among commits


WEIGHTS = Weights()
_UNSEEN = (State.QUARANTINED, State.ARCHIVED)
_PATH = re.compile(  # starts and lengths are bounded: without, a hostile issue takes hours
    r"(?<![\w.-])[\w.-]++(?:/[\w.-]++)+|\b[\w-]{1,100}\.(?:py|js|ts|tsx|go|rs|java|c|h|cpp|rb|toml|cfg)\b"
)


@dataclass(frozen=True, slots=True)
class Found:
    """A record that answers, its score, and the evidence in words."""

    stored: Stored
    score: float
    why: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """The query, taken apart once."""

    weight: Mapping[str, float]  # term to its information; sums to 1
    spelt: Mapping[str, str]  # term to the query's spelling, for people
    paths: frozenset[str]


def allowed(
    places: Sequence[Place], query: Query, ancestors: Ancestors, now: float
) -> dict[str, int]:
    """The records that may answer: id to number.

    Commits answer only for their own repository and only when they are proper ancestors of the
    base; without a base none does. Runs and skills answer by time, for their scope, and never
    for the issue that they come from.
    """
    past: frozenset[str] | None = None
    found: dict[str, int] = {}
    for place in places:
        if query.kinds and place.kind not in query.kinds:
            continue
        if place.state in _UNSEEN or place.time > now:
            continue
        if place.scope == Scope.REPO and (not query.repo or place.repo != query.repo):
            continue
        if query.issue_id and query.issue_id in place.issue.split("\n"):
            continue
        if place.sha:
            if past is None:
                past = ancestors(query.repo, query.base) if query.base else frozenset()
            if place.sha not in past:
                continue
        found[place.id] = place.number
    return found


class Ranker:
    """Ranks the records that may answer.

    Args:
        journal: full text and records.
        dense: the vectors' index.
        embedder: the one that `dense` was made with.
        weights: see Weights.
    """

    def __init__(
        self, journal: Journal, dense: Dense, embedder: Embedder, weights: Weights = WEIGHTS
    ) -> None:
        self._journal = journal
        self._dense = dense
        self._embedder = embedder
        self._weights = weights

    def rank(self, query: Query, answering: Mapping[str, int]) -> list[Found]:
        """Records near enough to the query, best first, at most query.limit."""
        asked = self._asked(query)
        if not answering or not asked.weight:
            return []
        lexical = self._lexical(list(asked.weight), answering)
        dense = self._near(query.text, answering)
        stored = self._journal.numbered(lexical.keys() | dense.keys())
        best = max(lexical.values(), default=0.0)
        found = [
            self._judged(stored[n], asked, lexical.get(n, 0.0) / (best or 1.0), dense.get(n, 0.0))
            for n in stored
        ]
        near = sorted((f for f in found if f), key=lambda f: (-f.score, f.stored.record.id))
        return _with_reserved(near, query.limit, self._weights.reserved)

    def _asked(self, query: Query) -> _Asked:
        """The query's most telling terms; a term that nobody ever wrote is the most telling."""
        total = self._journal.count() + 1
        information = {
            term: math.log(1 + total / (0.5 + self._journal.frequency(term)))
            for term in dict.fromkeys(terms(query.text)[:_LONGEST_QUERY])
        }
        head = set(terms(query.text[:200]))  # a title says most (FACTS)
        rated = {t: i * (2.0 if t in head else 1.0) for t, i in information.items()}
        chosen = sorted(rated, key=lambda t: (-rated[t], t))[: self._weights.query_terms]
        whole = sum(rated[term] for term in chosen) or 1.0
        mentioned = {m.strip("./") for m in _PATH.findall(query.text)}
        weight = {term: rated[term] / whole for term in chosen}
        return _Asked(weight, spellings(query.text), frozenset({*query.paths, *mentioned}))

    def _lexical(self, asked: Sequence[str], answering: Mapping[str, int]) -> dict[int, float]:
        numbers = set(answering.values())
        found: dict[int, float] = {}
        for number, score in self._journal.matches(asked):
            if number in numbers:
                found[number] = score
            if len(found) == self._weights.candidates:
                break
        return found

    def _near(self, text: str, answering: Mapping[str, int]) -> dict[int, float]:
        (vector,) = self._embedder.embed([text[:_EMBEDDED_QUERY]])
        if vector is None:
            return {}
        return dict(self._dense.nearest(vector, self._weights.candidates, answering))

    def _judged(self, stored: Stored, asked: _Asked, bm25: float, cosine: float) -> Found | None:
        doc = document(stored.record)
        has = set(terms("\n".join((doc.title, " ".join(doc.paths), doc.text, doc.diff))))
        shared = [term for term in asked.weight if term in has]
        coverage = sum(asked.weight[term] for term in shared)
        touched = _mentioned(doc, asked.paths)
        w = self._weights
        least = w.least_verified if _proved(stored) else w.least_coverage
        if len(shared) < w.least_shared and coverage < w.alone:
            return None
        if not self._near_enough(coverage / least, cosine, touched):
            return None
        evidence = w.coverage * coverage + w.bm25 * bm25 + w.dense * max(0.0, cosine)
        score = (evidence + w.path * bool(touched)) * self._standing(stored)
        telling = sorted(shared, key=lambda term: -asked.weight[term])[:5]
        words = [asked.spelt.get(term, term) for term in telling]
        return Found(stored, score, _why(stored, words, coverage, cosine, touched))

    def _near_enough(self, coverage: float, cosine: float, touched: str) -> bool:
        """Coverage is in units of its floor: half of it does when the vectors agree, or a path."""
        agreed = bool(touched) or cosine >= self._embedder.floor
        return coverage >= 1 or (agreed and coverage >= _HALF)

    def _standing(self, stored: Stored) -> float:
        w = self._weights
        body = stored.record.body
        factor = 1.0
        if _proved(stored):
            factor *= w.verified
        if stored.state is State.ACTIVE:
            factor *= w.active
        if isinstance(body, Episode) and body.origin == "commit" and body.intent == "fix":
            factor *= w.intent_fix
        return factor


_HALF = 0.5
_LONGEST_QUERY = 2_000  # terms of the query that are looked at
_EMBEDDED_QUERY = 4_000  # characters of it that are embedded


def _with_reserved(near: list[Found], limit: int, reserved: int) -> list[Found]:
    """The best, but commits leave some places to runs and skills that are near enough."""
    others = [found for found in near if not _is_commit(found.stored)][:limit]
    kept = {id(found) for found in others[: min(reserved, limit)]}
    room = limit - len(kept)
    for found in near:
        if room and id(found) not in kept:
            kept.add(id(found))
            room -= 1
    return [found for found in near if id(found) in kept]


def _proved(stored: Stored) -> bool:
    return stored.record.trust in (Trust.VERIFIED, Trust.HUMAN)


def _is_commit(stored: Stored) -> bool:
    return isinstance(stored.record.body, Episode) and stored.record.body.origin == "commit"


def _mentioned(doc: Document, paths: frozenset[str]) -> str:
    """A file of the record that the query names, by its path or by the path's end."""
    for path in doc.paths:
        for asked in paths:
            if path == asked or path.endswith(f"/{asked}") or asked.endswith(f"/{path}"):
                return path
            if "/" not in asked and PurePosixPath(path).name == asked:
                return path
    return ""


def _why(stored: Stored, telling: list[str], coverage: float, cosine: float, touched: str) -> str:
    parts = [f"shares {', '.join(telling)} ({coverage:.0%} of what the query says)"]
    if cosine > 0:
        parts.append(f"cosine {cosine:.2f}")
    if touched:
        parts.append(f"touches {touched}")
    if stored.uses:
        parts.append(f"helped in {stored.wins} of {stored.uses} runs")
    if stored.record.kind is Kind.SKILL:
        parts.append(f"{stored.state} skill")
    return "; ".join(parts)


def now() -> float:
    """Seconds since 1970; the time up to which runs and skills may answer."""
    return time.time()
