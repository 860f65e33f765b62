"""Looking terms and marks up in a snapshot's postings: who holds them, and what that is worth."""

from collections.abc import Sequence
from dataclasses import dataclass

from evo_agent.memory.journal.features import crc, ends, path_end, whole_path
from evo_agent.memory.recall.columns import Snapshot
from evo_agent.memory.recall.postings import Array
from evo_agent.memory.recall.scoring import Asked

K1, B = 1.2, 0.75  # SQLite's bm25()
_LEAST_IDF = 1e-6  # likewise


@dataclass(frozen=True, slots=True)
class Lexical:
    """Evidence of terms, an array each with one number for every record."""

    coverage: Array
    shared: Array
    bm25: Array


def lexical(snapshot: Snapshot, asked: Asked, allowed: Array) -> Lexical:
    """Evidence of the query's terms for every record; 0 for those that may not answer."""
    import numpy as np

    rows, which, weight = _hits(snapshot, list(asked.weight))
    kept = allowed[rows] & (weight > 0)
    rows, which, weight = rows[kept], which[kept], weight[kept] / 2.0
    shares = np.fromiter(asked.weight.values(), np.float64)
    held = np.asarray(counts(snapshot, list(asked.weight)), np.float64)
    total, length = len(snapshot), snapshot.rows["length"]
    inverse = np.log((total - held + 0.5) / (held + 0.5))
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


def counts(snapshot: Snapshot, words: Sequence[str]) -> list[int]:
    """In how many records each of some terms stands."""
    import numpy as np

    hashes = np.asarray([crc(word) for word in words], np.uint32)
    total = np.zeros(len(words), np.int64)
    for part in snapshot.parts:
        start, end = part.postings.spans(hashes)
        total += end - start
    return [int(count) for count in total]


def marked(snapshot: Snapshot, marks: Sequence[str]) -> Array:
    """Rows that carry one of some marks."""
    import numpy as np

    return np.unique(_hits(snapshot, marks)[0]) if marks else np.zeros(0, np.int64)


def path_marks(asked: Asked) -> list[str]:
    """A path in question is a record's, or the end of one, or ends in one."""
    marks: list[str] = []
    for path in asked.paths:
        marks += (path_end(path), whole_path(path), *(whole_path(end) for end in ends(path)))
    return marks


def rows_of(snapshot: Snapshot, numbers: Sequence[int]) -> Array:
    """Rows of the records with some numbers; those that are not there are left out."""
    import numpy as np

    wanted = np.asarray(sorted(numbers), np.int64)
    known = snapshot.rows["number"]
    if not len(known):
        return wanted[:0]
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return at[known[at] == wanted]


def shared_terms(snapshot: Snapshot, asked: Asked, rows: Array) -> list[tuple[str, ...]]:
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
