"""Ranking every record that may answer, exactly, by columns, postings and vectors in memory.

Nothing is left out before it is scored: BM25 is FTS5's own formula over FTS5's own terms, taken
from mapped postings, because FTS5 needs 31 ms for thirty terms among fifty thousand records, and 150 ms
at worst, and this a few (bench/recall.py compares their ranks).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evo_agent.core.types import Query
from evo_agent.memory.asof import UNSEEN, issues, tasks
from evo_agent.memory.columns import KINDS, SCOPES, Columns, Snapshot
from evo_agent.memory.dense import Dense
from evo_agent.memory.embed import Embedder, Vector
from evo_agent.memory.features import (
    COMMIT,
    MENDING,
    PROVED,
    crc,
    ends,
    issue_mark,
    path_end,
    task_mark,
    whole_path,
)
from evo_agent.memory.postings import Array
from evo_agent.memory.records import Scope, State
from evo_agent.memory.scoring import (
    WEIGHTS,
    Asked,
    Evidence,
    Weights,
    near,
    score,
    taken_apart,
    telling,
)

K1, B = 1.2, 0.75  # SQLite's bm25()
_LEAST_IDF = 1e-6  # likewise
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


@dataclass(frozen=True, slots=True)
class Lexical:
    """Evidence of terms, an array each with one number for every record."""

    coverage: Array
    shared: Array
    bm25: Array


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
        asked = taken_apart(query, lambda words: _counts(snapshot, words), len(snapshot))
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
        words = _shared(snapshot, asked, rows[chosen])
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
        may[_rows_of(snapshot, unseen)] = False
        marks = [task_mark(task) for task in tasks(query)]
        may[_marked(snapshot, marks)] = False
        same = _marked(snapshot, [issue_mark(f"#{number}") for number in issues(query)])
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
        touched[_marked(snapshot, _path_marks(asked))] = True
        active = np.zeros(len(snapshot), np.bool_)
        helped = [number for number, state in states.items() if state == State.ACTIVE]
        active[_rows_of(snapshot, helped)] = True
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
            rows = np.union1d(rows, _rows_of(snapshot, near_by))
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


def lexical(snapshot: Snapshot, asked: Asked, allowed: Array) -> Lexical:
    """Evidence of the query's terms for every record; 0 for those that may not answer."""
    import numpy as np

    rows, which, weight = _hits(snapshot, list(asked.weight))
    kept = allowed[rows] & (weight > 0)
    rows, which, weight = rows[kept], which[kept], weight[kept] / 2.0
    shares = np.fromiter(asked.weight.values(), np.float64)
    counts = np.asarray(_counts(snapshot, list(asked.weight)), np.float64)
    total, length = len(snapshot), snapshot.rows["length"]
    inverse = np.log((total - counts + 0.5) / (counts + 0.5))
    idf = np.where(inverse > 0, inverse, _LEAST_IDF)
    norm = K1 * (1 - B + B * length[rows] / snapshot.mean_length)
    bm25 = idf[which] * weight * (K1 + 1) / (weight + norm)
    return Lexical(
        coverage=np.bincount(rows, shares[which], total),
        shared=np.bincount(rows, minlength=total),
        bm25=np.bincount(rows, bm25, total),
    )


def _hits(snapshot: Snapshot, words: Sequence[str]) -> tuple[Array, Array, Array]:
    """Row, position of the term, and weight in halves of every posting of some terms."""
    import numpy as np

    hashes = np.asarray([crc(word) for word in words], np.uint32)
    rows, which, weights = [], [], []
    for part, offset in zip(snapshot.parts, snapshot.offsets, strict=True):
        for at, (start, end) in enumerate(zip(*part.postings.spans(hashes), strict=True)):
            rows.append(part.postings.row[start:end] + offset)
            which.append(np.full(end - start, at))
            weights.append(part.postings.weight[start:end])
    return tuple(
        np.concatenate(found) if found else np.zeros(0, np.int64)
        for found in (rows, which, weights)
    )  # type: ignore[return-value]


def _counts(snapshot: Snapshot, words: Sequence[str]) -> list[int]:
    """In how many records each of some terms stands."""
    import numpy as np

    hashes = np.asarray([crc(word) for word in words], np.uint32)
    total = np.zeros(len(words), np.int64)
    for part in snapshot.parts:
        start, end = part.postings.spans(hashes)
        total += end - start
    return [int(count) for count in total]


def _marked(snapshot: Snapshot, marks: Sequence[str]) -> Array:
    """Rows that carry one of some marks."""
    import numpy as np

    return np.unique(_hits(snapshot, marks)[0]) if marks else np.zeros(0, np.int64)


def _path_marks(asked: Asked) -> list[str]:
    """A path in question is a record's, or the end of one, or ends in one."""
    marks: list[str] = []
    for path in asked.paths:
        marks += (path_end(path), whole_path(path), *(whole_path(end) for end in ends(path)))
    return marks


def _rows_of(snapshot: Snapshot, numbers: Sequence[int]) -> Array:
    import numpy as np

    wanted = np.asarray(sorted(numbers), np.int64)
    known = snapshot.rows["number"]
    if not len(known):
        return wanted[:0]
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return at[known[at] == wanted]


def _shared(snapshot: Snapshot, asked: Asked, rows: Array) -> list[tuple[str, ...]]:
    """Terms that each of some rows has in common with the query, most telling first."""
    import numpy as np

    words = list(asked.weight)  # in order of weight
    hit, which, weight = _hits(snapshot, words)
    chosen = np.isin(hit, rows) & (weight > 0)
    hit, which = hit[chosen], which[chosen]
    return [
        tuple(asked.spelt.get(words[at], words[at]) for at in sorted(which[hit == row].tolist()))
        for row in rows
    ]
