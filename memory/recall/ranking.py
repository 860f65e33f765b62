"""Ranking every record that may answer, exactly, by columns, postings and vectors in memory.

Nothing is left out before it is scored: BM25 is FTS5's own formula over FTS5's own terms, taken
from mapped postings, because FTS5 needs 31 ms for thirty terms among fifty thousand records, and 150 ms
at worst, and this a few (bench/recall.py compares their ranks).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from evo_agent.core.types import Query
from evo_agent.memory.journal.features import COMMIT, MENDING, PROVED, issue_mark, task_mark
from evo_agent.memory.journal.records import Scope, State
from evo_agent.memory.recall.asof import UNSEEN, issues, tasks
from evo_agent.memory.recall.columns import KINDS, SCOPES, Columns, Snapshot
from evo_agent.memory.recall.dense import Dense
from evo_agent.memory.recall.embed import Embedder, Vector
from evo_agent.memory.recall.lookup import (
    counts,
    lexical,
    marked,
    path_marks,
    rows_of,
    shared_terms,
)
from evo_agent.memory.recall.postings import Array
from evo_agent.memory.recall.scoring import (
    WEIGHTS,
    Asked,
    Evidence,
    Weights,
    near,
    score,
    taken_apart,
    telling,
)

_LOOKED_AT = 64  # best records among which near-duplicates are looked for
_FEW = 256  # records whose vectors are read without asking whether it pays
_QUERY_EMBEDDED = 4_000  # characters

Mask = Callable[[Snapshot, str, str], Array]  # (snapshot, repo, base) to rows before the base


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record that is near enough, and what speaks for it; see scoring.Evidence."""

    number: int
    score: float
    coverage: float
    cosine: float
    touched: bool
    commit: bool
    shared: tuple[str, ...]  # terms, as the query spells them, most telling first


class ColumnRanking:
    """Ranks by arrays; needs numpy.

    Args:
        columns: what the filter and the terms are read from.
        dense: vectors.
        embedder: the one that `dense` was made with.
        before: which rows are commits before a base.
        states: numbers and states of the records that are no candidates any more.
        weights: see Weights.
    """

    def __init__(
        self,
        columns: Columns,
        dense: Dense,
        embedder: Embedder,
        *,
        before: Mask,
        states: Callable[[], Mapping[int, str]],
        weights: Weights = WEIGHTS,
    ) -> None:
        self._columns = columns
        self._dense = dense
        self._embedder = embedder
        self._before = before
        self._states = states
        self._weights = weights

    def candidates(self, query: Query, now: float, most: int) -> list[Candidate]:
        """The best records that may answer and are near enough, best first, at most so many.

        Raises:
            StoreError: the journal cannot be read.
            ModelError: the embedder fails.
        """
        import numpy as np

        snapshot = self._columns.snapshot()
        asked = taken_apart(query, lambda words: counts(snapshot, words), len(snapshot))
        if not asked.weight or not len(snapshot):
            return []
        states = self._states()
        allowed = self.allowed(snapshot, query, now, states)
        if not allowed.any():
            return []
        looked = max(_LOOKED_AT, 2 * most)
        rows, evidence = self.evidence(snapshot, query, asked, allowed, states, looked=looked)
        w = self._weights
        scores = score(evidence, w)
        kept = np.flatnonzero(near(evidence, self._embedder.floor, self._embedder.alone, w))
        order = kept[np.lexsort((snapshot.rows["number"][rows[kept]], -scores[kept]))]
        chosen = self._chosen(snapshot, rows, order, most)
        words = shared_terms(snapshot, asked, rows[chosen])
        return [
            Candidate(
                number=int(snapshot.rows["number"][rows[at]]),
                score=float(scores[at]),
                coverage=float(evidence.coverage[at]),
                cosine=float(evidence.cosine[at]),
                touched=bool(evidence.touched[at]),
                commit=bool(snapshot.rows["flags"][rows[at]] & COMMIT),
                shared=shared,
            )
            for at, shared in zip(chosen, words, strict=True)
        ]

    def answering(self, query: Query, now: float) -> list[int]:
        """Numbers of all records that may answer."""
        snapshot = self._columns.snapshot()
        may = self.allowed(snapshot, query, now, self._states())
        return [int(number) for number in snapshot.rows["number"][may]]

    def allowed(
        self, snapshot: Snapshot, query: Query, now: float, states: Mapping[int, str]
    ) -> Array:
        """Which rows may answer (asof.may_answer), as (n,) bool."""
        import numpy as np

        rows = snapshot.rows
        may = rows["time"] <= now
        if query.kinds:
            may &= np.isin(rows["kind"], [KINDS.index(k) for k in query.kinds if k in KINDS])
        own = snapshot.repos.index(query.repo) if query.repo in snapshot.repos else -1
        may &= (rows["scope"] != SCOPES.index(Scope.REPO)) | (rows["repo"] == own)
        if (may & snapshot.commits).any():
            before = self._before(snapshot, query.repo, query.base) if query.base else False
            may &= ~snapshot.commits | before
        unseen = [number for number, state in states.items() if state in UNSEEN]
        may[rows_of(snapshot, unseen)] = False
        marks = [task_mark(task) for task in tasks(query)]
        may[marked(snapshot, marks)] = False
        same = marked(snapshot, [issue_mark(f"#{number}") for number in issues(query)])
        may[same[rows["repo"][same] == own]] = False
        return may

    def evidence(
        self,
        snapshot: Snapshot,
        query: Query,
        asked: Asked,
        allowed: Array,
        states: Mapping[int, str],
        *,
        looked: int,
    ) -> tuple[Array, Evidence]:
        """Rows worth looking at, and what speaks for each of them: all the `looked` best."""
        import numpy as np

        found = lexical(snapshot, asked, allowed)
        best = found.bm25.max(initial=0.0) or 1.0
        touched = np.zeros(len(snapshot), np.bool_)
        touched[marked(snapshot, path_marks(asked))] = True
        active = np.zeros(len(snapshot), np.bool_)
        helped = [number for number, state in states.items() if state == State.ACTIVE]
        active[rows_of(snapshot, helped)] = True
        times = snapshot.rows["time"]
        newest = times.max(initial=0.0, where=allowed)

        def of(chosen: Array, cosine: Array) -> Evidence:
            flags = snapshot.rows["flags"][chosen]
            return Evidence(
                coverage=found.coverage[chosen],
                shared=found.shared[chosen],
                bm25=found.bm25[chosen] / best,
                cosine=cosine,
                touched=touched[chosen],
                age=newest - times[chosen],
                proved=(flags & PROVED) > 0,
                active=active[chosen],
                mending=(flags & MENDING) > 0,
            )

        rows = np.flatnonzero(found.coverage > 0)
        rows = rows[telling(of(rows, np.zeros(len(rows))), self._weights)]
        (vector,) = self._embedder.embed([query.text[:_QUERY_EMBEDDED]])
        if vector is None:
            return rows, of(rows, np.zeros(len(rows)))
        if self._embedder.alone <= 1:
            may = snapshot.rows["number"][allowed]
            near_by = [number for number, _ in self._dense.nearest(vector, _LOOKED_AT, may)]
            rows = np.union1d(rows, rows_of(snapshot, near_by))
        rows = self._promising(snapshot, vector, rows, of, looked)
        return rows, of(rows, self._dense.cosines(vector, snapshot.rows["number"][rows]))

    def _promising(
        self,
        snapshot: Snapshot,
        vector: Vector,
        rows: Array,
        of: Callable[[Array, Array], Evidence],
        looked: int,
    ) -> Array:
        """Leave out what would not be among the best even if its vector were the query's.

        Exact: no cosine is above 1. It saves reading most of the vectors.
        """
        import numpy as np

        few = max(_FEW, 2 * looked)
        if len(rows) <= few:
            return rows
        w = self._weights
        least_score = score(of(rows, np.zeros(len(rows))), w)
        first = rows[np.argpartition(-least_score, few)[:few]]
        known = of(first, self._dense.cosines(vector, snapshot.rows["number"][first]))
        reached = score(known, w)[near(known, self._embedder.floor, self._embedder.alone, w)]
        if len(reached) < looked:
            return rows
        bar = np.partition(reached, -looked)[-looked]
        promising = score(of(rows, np.ones(len(rows))), w) >= bar
        commit = (snapshot.rows["flags"][rows] & COMMIT) > 0
        return rows[promising | ~commit]  # places are kept for what is no commit

    def _chosen(self, snapshot: Snapshot, rows: Array, order: Array, most: int) -> list[int]:
        """The best, few of those that say the same, with places kept for what is no commit."""
        w = self._weights
        others = (snapshot.rows["flags"][rows[order]] & COMMIT) == 0
        first = [int(at) for at in order[others][: min(w.reserved, most)]]
        looked = list(dict.fromkeys([*map(int, order[: max(_LOOKED_AT, 2 * most)]), *first]))
        place = {at: n for n, at in enumerate(looked)}
        alike = self._alike(snapshot.rows["number"][rows[looked]])
        kept: list[int] = []
        for at in dict.fromkeys([*first, *looked]):
            if len(kept) == most:
                break
            if alike[place[at], [place[other] for other in kept]].sum() < w.most_alike:
                kept.append(at)
        return sorted(kept, key=place.__getitem__)

    def _alike(self, numbers: Array) -> Array:
        """Which of some records say the same, as (k, k) bool; itself left out."""
        import numpy as np

        vectors = self._dense.vectors(numbers)
        same = vectors @ vectors.T >= self._weights.alike
        np.fill_diagonal(same, val=False)
        return same
