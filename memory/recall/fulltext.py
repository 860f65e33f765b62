"""Ranking by SQLite's full text alone, for an installation without numpy.

The same terms, the same formula and the same floors as memory.recall.ranking, but candidates are the best
matches of FTS5, and they are read to be judged; slower, and for a small memory.
"""

from collections.abc import Sequence

from evo_agent.core.types import Query
from evo_agent.memory.journal.document import document
from evo_agent.memory.journal.features import COMMIT, MENDING, PROVED, ends, flags
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import State
from evo_agent.memory.journal.rows import Stored
from evo_agent.memory.journal.words import terms
from evo_agent.memory.recall.asof import Ancestors, allowed
from evo_agent.memory.recall.dense import cosine
from evo_agent.memory.recall.embed import Embedder, Vector
from evo_agent.memory.recall.ranking import Candidate
from evo_agent.memory.recall.scoring import (
    WEIGHTS,
    Asked,
    Evidence,
    Weights,
    near,
    score,
    taken_apart,
)

CANDIDATES = 60  # best matches that are read
BATCH = 500  # records embedded at once
_QUERY_EMBEDDED = 4_000  # characters


class FullTextRanking:
    """See the module.

    Args:
        journal: the truth, with its full-text search.
        embedder: of queries and of what is read.
        ancestors: of a commit; see asof.
        weights: see Weights.
    """

    def __init__(
        self,
        journal: Journal,
        embedder: Embedder,
        ancestors: Ancestors,
        weights: Weights = WEIGHTS,
    ) -> None:
        self._journal = journal
        self._embedder = embedder
        self._ancestors = ancestors
        self._weights = weights
        self._vectors: dict[int, Vector | None] = {}

    def candidates(self, query: Query, now: float, most: int) -> list[Candidate]:
        """See ColumnRanking."""
        answering = allowed(self._journal.places(query.repo), query, self._ancestors, now)
        asked = taken_apart(
            query, lambda words: [self._journal.frequency(w) for w in words], self._journal.count()
        )
        if not answering or not asked.weight:
            return []
        numbers = set(answering.values())
        bm25 = self._matches(list(asked.weight), numbers)
        (vector,) = self._embedder.embed([query.text[:_QUERY_EMBEDDED]])
        near_by = self._nearest(vector, numbers) if vector is not None else []
        stored = self._journal.numbered({*bm25, *near_by})
        best = max(bm25.values(), default=1.0) or 1.0
        newest = max((s.record.as_of.time for s in stored.values()), default=0.0)
        judged = [
            self._judged(one, asked, (bm25.get(n, 0.0) / best, newest), vector)
            for n, one in stored.items()
        ]
        return self._best([candidate for candidate in judged if candidate], most)

    def _best(self, found: list[Candidate], most: int) -> list[Candidate]:
        """The best, with places kept for what is no commit."""
        ordered = sorted(found, key=lambda c: (-c.score, c.number))
        first = [c for c in ordered if not c.commit][: min(self._weights.reserved, most)]
        rest = [c for c in ordered if c not in first][: most - len(first)]
        return sorted([*first, *rest], key=lambda c: (-c.score, c.number))

    def _matches(self, words: Sequence[str], numbers: set[int]) -> dict[int, float]:
        found: dict[int, float] = {}
        for number, rank in self._journal.matches(words):
            if number in numbers:
                found[number] = rank
            if len(found) == CANDIDATES:
                break
        return found

    def _nearest(self, vector: Vector, numbers: set[int]) -> list[int]:
        """The nearest of all that may answer, if vectors say what terms do not."""
        if self._embedder.alone > 1:
            return []
        self._embed(sorted(numbers - self._vectors.keys()))
        known = ((number, self._vectors[number]) for number in numbers)
        scored = [(cosine(vector, own), number) for number, own in known if own is not None]
        return [number for _, number in sorted(scored, reverse=True)[:CANDIDATES]]

    def _embed(self, numbers: Sequence[int]) -> None:
        for start in range(0, len(numbers), BATCH):
            found = self._journal.numbered(numbers[start : start + BATCH])
            texts = [document(stored.record).embedded for stored in found.values()]
            self._vectors.update(zip(found, self._embedder.embed(texts), strict=True))

    def _judged(
        self, stored: Stored, asked: Asked, told: tuple[float, float], vector: Vector | None
    ) -> Candidate | None:
        bm25, newest = told
        doc = document(stored.record)
        has = set(terms("\n".join((doc.title, " ".join(doc.paths), doc.text, doc.diff))))
        shared = [term for term in asked.weight if term in has]
        if stored.number not in self._vectors:
            self._embed([stored.number])
        own = self._vectors[stored.number]
        bits = flags(stored.record)
        evidence = Evidence(
            coverage=sum(asked.weight[term] for term in shared),
            shared=len(shared),
            bm25=bm25,
            cosine=cosine(vector, own) if vector is not None and own is not None else 0.0,
            touched=mentioned(doc.paths, asked.paths),
            age=newest - stored.record.as_of.time,
            proved=bool(bits & PROVED),
            active=stored.state is State.ACTIVE,
            mending=bool(bits & MENDING),
        )
        if not near(evidence, self._embedder.floor, self._embedder.alone, self._weights):
            return None
        return Candidate(
            number=stored.number,
            score=float(score(evidence, self._weights)),
            coverage=evidence.coverage,
            cosine=evidence.cosine,
            touched=evidence.touched,
            commit=bool(bits & COMMIT),
            shared=tuple(asked.spelt.get(term, term) for term in shared),
        )


def mentioned(touched: Sequence[str], paths: frozenset[str]) -> bool:
    """Whether a path in question is a touched one, or the end of one, or ends in one."""
    wanted = paths | {end for path in paths for end in ends(path)}
    return any(path in wanted or not paths.isdisjoint(ends(path)) for path in touched)
