"""Ranking by vectors: exactly, by Chroma, or without anything installed.

Which path serves when (bench/recall.py measures both, --chroma the second):

- Records that terms or files speak for are scored with their exact cosine, always. The `lexical`
  embedder's vectors say nothing that terms do not: with it nobody else is looked for.
- With a model's vectors the nearest are looked for as well: up to EXACT_MOST records that may
  answer by a product over mapped vectors (memory.recall.vectors), exact, without importing chromadb;
  beyond that by Chroma, which over-fetches under the mask.
- Chroma that is missing or fails is replaced by the product over all, and that is said.

Chroma's collections are brought up to date on the way while they are AT_ONCE records behind or
less, or when they serve: a graph of 50,000 vectors costs as much as learning them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from evo_agent.core.errors import EvoError
from evo_agent.memory.recall.embed import Vector
from evo_agent.memory.recall.postings import Array
from evo_agent.memory.recall.vectors import Progress, Vectors

EXACT_MOST = 100_000  # records that may answer; a product over half as many takes 2 to 10 ms
AT_ONCE = 5_000  # records that Chroma is behind by and that are caught up on the way: seconds


class Approximate(Protocol):
    """An index that finds near neighbours without looking at all; see index.ChromaIndex."""

    def behind(self) -> int:
        """How many records it has not taken in yet."""
        ...

    def sync(self, progress: Progress | None = None) -> None:
        """Take in what the journal has and the index has not."""
        ...

    def nearest(self, vector: Vector, count: int, numbers: Array) -> list[tuple[int, float]]:
        """Number and cosine of the nearest of some records, best first."""
        ...

    def close(self) -> None:
        """Let go of files; idempotent."""
        ...


class Dense:
    """The vectors of one embedder: exact, with Chroma for what is too large for that.

    Args:
        vectors: exact.
        open_approximate: opens the other one when it is first needed; ImportError without chromadb.
        say: told, in one line, when it cannot be used.
    """

    def __init__(
        self,
        vectors: Vectors,
        open_approximate: Callable[[], Approximate],
        say: Callable[[str], None],
    ) -> None:
        self._vectors = vectors
        self._open = open_approximate
        self._approximate: Approximate | None = None
        self._say = say

    def sync(self, progress: Progress | None = None) -> None:
        """Take in what the journal has; Chroma, too, unless that would take long for nothing.

        Raises:
            ModelError: the embedder fails.
            StoreError: the journal cannot be read.
        """
        self._vectors.sync(progress)
        index = self._index()
        if index is None:
            return
        if index.behind() <= AT_ONCE or self._vectors.count() > EXACT_MOST:
            self._tried(lambda: index.sync(progress))

    def nearest(self, vector: Vector, count: int, numbers: Array) -> list[tuple[int, float]]:
        """Number and cosine of the nearest of some records, best first.

        Args:
            vector: of length one.
            count: most results.
            numbers: of the records that may answer, ascending.
        """
        self._vectors.sync()
        if len(numbers) > EXACT_MOST and (index := self._index()) is not None:
            found: list[tuple[int, float]] | None = self._tried(
                lambda: index.nearest(vector, count, numbers)
            )
            if found is not None:
                return found
        return exact(self._vectors, vector, count, numbers)

    def cosines(self, vector: Vector, numbers: Array) -> Array:
        """See Vectors.cosines."""
        self._vectors.sync()
        return self._vectors.cosines(vector, numbers)

    def vectors(self, numbers: Array) -> Array:
        """Vectors of some records as (k, d) float32; zeros for one that has none."""
        return self._vectors.vectors(numbers)

    def close(self) -> None:
        """Let go of files; idempotent."""
        if self._approximate is not None:
            self._approximate.close()
            self._approximate = None

    def _index(self) -> Approximate | None:
        if self._approximate is None:
            try:
                self._approximate = self._open()
            except ImportError:
                self._say("chromadb is missing (pip install 'evo-agent[memory]'): ranking exactly")
            except EvoError as error:
                self._say(f"no index ({error.cause}): ranking exactly")
        return self._approximate

    def _tried(self, ask: Callable[[], Any]) -> Any:
        """What the index says; None, and a line for people, when it fails."""
        try:
            return ask()
        except EvoError as error:
            self._say(f"the index fails ({error.cause}): ranking exactly")
            return None


def exact(vectors: Vectors, vector: Vector, count: int, numbers: Array) -> list[tuple[int, float]]:
    """Rank some records by cosine, all of them."""
    import numpy as np

    known = numbers[np.isin(numbers, vectors.numbers(), assume_unique=True)]
    cosines = vectors.cosines(vector, known)
    best = np.argpartition(-cosines, count)[:count] if count < len(known) else np.arange(len(known))
    order = best[np.lexsort((known[best], -cosines[best]))]
    return [(int(known[at]), float(cosines[at])) for at in order]


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Of two vectors of length one."""
    return sum(a * b for a, b in zip(one, other, strict=True))
