"""Ranking by vectors: what every index can do, and the one that needs no store."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from evo_agent.memory.document import document
from evo_agent.memory.embed import Embedder, Vector
from evo_agent.memory.journal import Journal

BATCH = 500  # records embedded at once
EXACT_LIMIT = 5_000  # newest records that the fallback ranks

Progress = Callable[[int, int], None]  # done, total


class Dense(Protocol):
    """Ranks records by the cosine of their vectors with a query's."""

    def sync(self, progress: Progress | None = None) -> None:
        """Take in what the journal has and the index has not."""
        ...

    def nearest(
        self, vector: Vector, count: int, allowed: Mapping[str, int]
    ) -> list[tuple[int, float]]:
        """Number and cosine of the nearest allowed records, best first.

        Args:
            vector: of length one.
            count: most results.
            allowed: id to number of the records that may answer.
        """
        ...

    def close(self) -> None:
        """Let go of files; idempotent."""
        ...


class ExactIndex:
    """Ranks by embedding the records themselves, newest EXACT_LIMIT of them; needs no store."""

    def __init__(self, journal: Journal, embedder: Embedder) -> None:
        self._journal = journal
        self._embedder = embedder
        self._vectors: dict[int, Vector | None] = {}

    def sync(self, progress: Progress | None = None) -> None:
        """Nothing is kept, so nothing is behind."""

    def nearest(
        self, vector: Vector, count: int, allowed: Mapping[str, int]
    ) -> list[tuple[int, float]]:
        """See Dense."""
        numbers = sorted(allowed.values(), reverse=True)[:EXACT_LIMIT]
        self._embed([number for number in numbers if number not in self._vectors])
        known = ((number, self._vectors.get(number)) for number in numbers)
        scored = [(number, _dot(vector, own)) for number, own in known if own is not None]
        return sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:count]

    def close(self) -> None:
        """Drop what was embedded."""
        self._vectors.clear()

    def _embed(self, numbers: Sequence[int]) -> None:
        for start in range(0, len(numbers), BATCH):
            found = self._journal.numbered(numbers[start : start + BATCH])
            texts = [document(stored.record).embedded for stored in found.values()]
            self._vectors.update(zip(found, self._embedder.embed(texts), strict=True))


def _dot(one: Vector, other: Vector) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
