"""The vectors of one embedder, of every record, for ranking exactly.

They lie in files beside Chroma's store, each with the records after the one before (arrays), and
are mapped into memory. What lies on no file yet is kept in memory if it is cheap to make again.
Never a zero vector: a record without terms has none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evo_agent.memory.journal.document import document
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.rows import Generation
from evo_agent.memory.recall.arrays import load, save
from evo_agent.memory.recall.columns import LEAST_TAIL, locked
from evo_agent.memory.recall.embed import Embedder, Lexical
from evo_agent.memory.recall.postings import Array

BATCH = 500  # records that a model embeds at once
_BLOCK = 8_192  # records whose features are embedded at once
_MOST_FILES = 8  # before they are joined
_SQL = (
    "SELECT r.number, f.data FROM records r JOIN features f ON f.number = r.number "
    "WHERE r.number > ? AND r.number <= ? ORDER BY r.number"
)

Progress = Callable[[int, int], None]  # done, total


@dataclass(frozen=True, slots=True)
class Block:
    """Vectors of the records after one number and up to a generation.

    Attributes:
        number: (n,) int64, ascending: whose.
        vector: (n, d) float32, of length one.
    """

    after: int
    generation: Generation
    number: Array
    vector: Array


class Vectors:
    """See the module.

    Args:
        folder: of this embedder; made when missing.
        journal: the truth.
        embedder: whose vectors.
        say: told, in one line, when the folder cannot be written.
    """

    def __init__(
        self, folder: Path, journal: Journal, embedder: Embedder, say: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._embedder = embedder
        self._say = say
        self._blocks: list[Block] = []
        self._whole: tuple[Array, Array] | None = None

    def sync(self, progress: Progress | None = None) -> None:
        """Embed what the journal has and this has not.

        Raises:
            ModelError: the embedder fails; what was embedded before is kept.
            StoreError: the journal cannot be read.
        """
        wanted = self._journal.generation()
        if self._blocks and self._blocks[-1].generation == wanted:
            return
        if not self._blocks or not self._sound(self._blocks[-1], wanted):
            self._blocks = self._opened(wanted)
        if self._behind(wanted) > (LEAST_TAIL if isinstance(self._embedder, Lexical) else 0):
            self._extend(wanted, progress)
        elif self._behind(wanted):
            self._blocks.append(self._embedded(wanted))
        self._whole = None

    def count(self) -> int:
        """How many records have a vector."""
        return sum(len(block.number) for block in self._blocks)

    def numbers(self) -> Array:
        """Numbers of the records that have a vector, ascending, as (n,) int64."""
        return self._all()[0]

    def cosines(self, vector: Sequence[float], numbers: Array) -> Array:
        """Cosines of some records with a vector of length one, as (k,) float32; 0 without one."""
        import numpy as np

        known, vectors = self._all()
        if not len(known):
            return np.zeros(len(numbers), np.float32)
        at = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
        asked = np.asarray(vector, np.float32)
        every = 2 * len(numbers) > len(known)  # then one product is faster than gathering
        found = _products(vectors, asked)[at] if every else _products(vectors[at], asked)
        return np.where(known[at] == numbers, found, 0)

    def vectors(self, numbers: Array) -> Array:
        """Vectors of some records, (k, d) float32; a row of zeros for one that has none."""
        import numpy as np

        known, vectors = self._all()
        if not len(known):
            return np.zeros((len(numbers), 1), np.float32)
        at = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
        return np.where((known[at] == numbers)[:, None], vectors[at], 0)

    def _all(self) -> tuple[Array, Array]:
        import numpy as np

        if self._whole is None:
            blocks = [block for block in self._blocks if len(block.number)]
            if len(blocks) == 1:
                self._whole = (blocks[0].number, blocks[0].vector)
            elif blocks:
                self._whole = (
                    np.concatenate([block.number for block in blocks]),
                    np.concatenate([block.vector for block in blocks]),
                )
            else:
                self._whole = (np.zeros(0, np.int64), np.zeros((0, 1), np.float32))
        return self._whole

    def _behind(self, wanted: Generation) -> int:
        return wanted.number - (self._blocks[-1].generation.number if self._blocks else 0)

    def _sound(self, block: Block, wanted: Generation) -> bool:
        at = block.generation
        return at.epoch == wanted.epoch and self._journal.holds(at.number, at.last)

    def _opened(self, wanted: Generation) -> list[Block]:
        """The files that follow one upon the other, from the first record on."""
        found = [_read(path) for path in self._folder.glob("vectors-*.bin")]
        usable = [block for block in found if block and self._sound(block, wanted)]
        chain: list[Block] = []
        while True:
            at = chain[-1].generation.number if chain else 0
            following = [b for b in usable if b.after == at and b.generation.number > at]
            if not following:
                return chain
            chain.append(max(following, key=lambda block: block.generation.number))

    def _extend(self, wanted: Generation, progress: Progress | None) -> None:
        """Embed onto the disk, one process at a time; the others wait and take it."""
        try:
            with locked(self._folder):
                self._blocks = self._opened(wanted)
                first = self._behind(wanted)
                while self._behind(wanted):
                    self._append(self._embedded(wanted))
                    if progress is not None:
                        progress(first - self._behind(wanted), first)
                self._tidy()
        except OSError as error:
            self._say(f"{self._folder} cannot be written ({error.strerror}): recall is slower")
            while self._behind(wanted):
                self._blocks.append(self._embedded(wanted))

    def _append(self, block: Block) -> None:
        if len(self._blocks) >= _MOST_FILES and len(block.number) < LEAST_TAIL:
            block = _joined([self._blocks.pop(), block])
        _write(self._folder, block)
        self._blocks.append(block)

    def _tidy(self) -> None:
        """Remove what is not part of the chain."""
        kept = {_path(self._folder, block) for block in self._blocks}
        for path in self._folder.glob("vectors-*.bin"):
            if path not in kept:
                path.unlink(missing_ok=True)

    def _embedded(self, wanted: Generation) -> Block:
        """Vectors of the records after the last block; of a model, which costs, one batch."""
        after = wanted.number - self._behind(wanted)
        if isinstance(self._embedder, Lexical):
            return Block(after, wanted, *self._of_features(self._embedder, after, wanted.number))
        return self._of_texts(after, wanted)

    def _of_features(self, embedder: Lexical, after: int, until: int) -> tuple[Array, Array]:
        import numpy as np

        with self._journal.transaction(write=False) as connection:
            rows: list[Any] = connection.execute(_SQL, (after, until)).fetchall()
        numbers = np.fromiter((number for number, _ in rows), np.int64)
        parts = [
            embedder.of_features([data for _, data in rows[start : start + _BLOCK]])
            for start in range(0, max(1, len(rows)), _BLOCK)
        ]
        vectors = np.concatenate(parts)
        some = vectors.any(axis=1)
        return numbers[some], vectors[some]

    def _of_texts(self, after: int, wanted: Generation) -> Block:
        import numpy as np

        batch = [s for s in self._journal.after(after, BATCH) if s.number <= wanted.number]
        found = self._embedder.embed([document(stored.record).embedded for stored in batch])
        pairs = [(s.number, v) for s, v in zip(batch, found, strict=True) if v is not None]
        numbers = np.fromiter((number for number, _ in pairs), np.int64)
        vectors = np.asarray([vector for _, vector in pairs], np.float32).reshape(len(pairs), -1)
        last = batch[-1]
        return Block(after, Generation(wanted.epoch, last.number, last.record.id), numbers, vectors)


def _products(vectors: Array, asked: Array) -> Array:
    """A product for each row, in this thread: a BLAS that spreads it waits for busy processors."""
    import numpy as np

    return np.vecdot(vectors, asked) if hasattr(np, "vecdot") else vectors @ asked


def _joined(blocks: list[Block]) -> Block:
    import numpy as np

    some = [block for block in blocks if len(block.number)] or blocks[:1]
    return Block(
        blocks[0].after,
        blocks[-1].generation,
        np.concatenate([block.number for block in some]),
        np.concatenate([block.vector for block in some]),
    )


def _path(folder: Path, block: Block) -> Path:
    return folder / f"vectors-{block.after}-{block.generation.number}.bin"


def _write(folder: Path, block: Block) -> None:
    about = {"after": block.after, "generation": list(block.generation)}
    save(_path(folder, block), about, {"number": block.number, "vector": block.vector})


def _read(path: Path) -> Block | None:
    found = load(path)
    try:
        if found is None:
            return None
        generation = Generation(*found.about["generation"])
        return Block(found.about["after"], generation, **found.named)
    except (KeyError, TypeError):  # of another version
        return None
