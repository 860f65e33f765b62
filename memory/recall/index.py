"""Chroma, embedded: collections of every record, derived from the journal and thrown away at will.

`current.json` beside the store says which journal and how much of it is indexed. A process that
finds it changed reopens its client, because an open client goes on answering from what it read
first. Whatever cannot be opened or queried is built anew from the journal, once; whoever
asks ranks exactly when that fails, too (memory.recall.dense, which also says when Chroma is asked).
"""

import fcntl
import itertools
import json
import os
import shutil
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evo_agent.memory.journal.bodies import Kind
from evo_agent.memory.journal.document import document
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.rows import Generation, Stored
from evo_agent.memory.journal.schema import translated
from evo_agent.memory.recall.dense import exact
from evo_agent.memory.recall.embed import Embedder, Vector
from evo_agent.memory.recall.fingerprint import fingerprint
from evo_agent.memory.recall.postings import Array
from evo_agent.memory.recall.vectors import Progress, Vectors

OVER_FETCH = 8  # neighbours asked for, per neighbour wanted, under a mask
LEAST_FETCHED = 1_000  # with 200, 2 of 100 neighbours were lost at 10,000 records (bench/recall.py)
_HNSW: dict[str, str | int] = {
    "space": "cosine",
    "ef_construction": 100,
    "ef_search": 400,
    "max_neighbors": 16,
}
_BATCH = 5_000  # records at once; Chroma takes at most 5,461
_openings = itertools.count()


@dataclass(frozen=True, slots=True)
class _Current:
    """What current.json says: the store's folder, the generation it holds, its fingerprint."""

    store: str = ""
    epoch: str = ""
    number: int = 0
    last: str = ""
    files: str = ""


class ChromaIndex:
    """Two Chroma collections of one embedder, episodic and semantic.

    Args:
        folder: of this embedder's index; made when missing.
        journal: the truth.
        embedder: its name becomes part of the collections' names.
        vectors: of this embedder; Chroma's come from there.

    Raises:
        ImportError: chromadb is not installed.
        StoreError: the folder cannot be written.
    """

    def __init__(
        self, folder: Path, journal: Journal, embedder: Embedder, vectors: Vectors
    ) -> None:
        if find_spec("chromadb") is None:  # imported when it is needed, which takes a second
            raise ModuleNotFoundError("chromadb is not installed", name="chromadb")
        self._folder = folder
        self._journal = journal
        self._embedder = embedder
        self._vectors = vectors
        self._client: Any = None
        self._seen = _Current()
        with translated(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def close(self) -> None:
        """Stop Chroma for this folder; idempotent."""
        client, self._client = self._client, None
        self._seen = _Current()
        if client is not None:
            with suppress(Exception):  # a broken store may not even close
                client.close()

    def sync(self, progress: Progress | None = None) -> None:
        """See Dense. Several processes may call it; one builds, the others wait."""
        with _told(self._folder):
            self._sync(progress)

    def _sync(self, progress: Progress | None = None) -> None:
        wanted = self._journal.generation()
        if self._current() != self._seen or _generation(self._seen) != wanted:
            with self._locked():
                self._catch_up(wanted, progress)

    def behind(self) -> int:
        """How many records it has not taken in yet."""
        wanted, current = self._journal.generation(), self._current()
        return wanted.number - (current.number if current.epoch == wanted.epoch else 0)

    def nearest(self, vector: Vector, count: int, numbers: Array) -> list[tuple[int, float]]:
        """Number and cosine of the nearest of some records, best first.

        A store that fails is rebuilt once.

        Args:
            vector: of length one.
            count: most results.
            numbers: of the records that may answer, ascending.

        Raises:
            StoreError: it fails after that, too.
        """
        try:
            with translated(self._folder):
                self._sync()
            return self._nearest(vector, count, numbers)
        except _foreign_failures() as error:
            if isinstance(error, OSError) and error.errno:
                raise
        self.rebuild()
        with _told(self._folder):
            return self._nearest(vector, count, numbers)

    def rebuild(self, progress: Progress | None = None) -> None:
        """Throw the store away and make it anew from the journal."""
        with _told(self._folder), self._locked():
            self.close()
            self._replace_store()
            self._catch_up(self._journal.generation(), progress)

    def _nearest(self, vector: Vector, count: int, numbers: Array) -> list[tuple[int, float]]:
        """Over-fetch under the mask; rank exactly when that was not enough."""
        allowed = set(numbers.tolist())
        found: list[tuple[int, float]] = []
        complete = True
        for name in ("episodic", "semantic"):
            collection = self._collection(name)
            total = collection.count()
            fetched = min(total, max(LEAST_FETCHED, count * OVER_FETCH))
            if fetched:
                pairs = _fetched(collection, vector, fetched)
                here = [pair for pair in pairs if pair[0] in allowed]
                found += here
                complete &= len(here) >= min(count, len(allowed)) or fetched == total
        if not complete:
            return exact(self._vectors, vector, count, numbers)
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:count]

    def _catch_up(self, wanted: Generation, progress: Progress | None) -> None:
        current = self._current()
        if not self._usable(current, wanted):
            current = self._replace_store()
        if self._client is None or current != self._seen:
            self._reopen(current)
        first = current.number
        self._vectors.sync()
        while batch := self._journal.after(current.number, _BATCH):
            self._store(batch)
            last = batch[-1]
            files = fingerprint(self._folder / current.store)
            current = _Current(current.store, wanted.epoch, last.number, last.record.id, files)
            self._write_current(current)
            if progress is not None:
                progress(last.number - first, max(wanted.number, last.number) - first)
        self._seen = current

    def _usable(self, current: _Current, wanted: Generation) -> bool:
        """Whether the store belongs to this journal, and to this past of it."""
        if current.epoch != wanted.epoch or not (self._folder / current.store).is_dir():
            return False
        if current.number and not self._journal.holds(current.number, current.last):
            return False
        return current == self._seen or fingerprint(self._folder / current.store) == current.files

    def _store(self, batch: Sequence[Stored]) -> None:
        import numpy as np

        vectors = self._vectors.vectors(np.asarray([stored.number for stored in batch]))
        for name in ("episodic", "semantic"):
            rows = [
                (stored, vector)
                for stored, vector in zip(batch, vectors, strict=True)
                if vector.any() and _collection_of(stored) == name
            ]
            if rows:
                self._collection(name).upsert(
                    ids=[str(stored.number) for stored, _ in rows],
                    embeddings=np.asarray([vector for _, vector in rows]),
                    documents=[document(stored.record).title for stored, _ in rows],
                    metadatas=[
                        {
                            "id": stored.record.id,
                            "kind": stored.record.kind.value,
                            "repo": stored.record.repo,
                        }
                        for stored, _ in rows
                    ],
                )

    def _collection(self, name: str) -> Any:
        return self._client.get_or_create_collection(
            f"{collection_prefix(self._embedder.name)}-{name}",
            embedding_function=None,
            configuration={"hnsw": _HNSW},
        )

    def _reopen(self, current: _Current) -> None:
        from chromadb import PersistentClient
        from chromadb.config import Settings

        self.close()
        # Chroma keeps one system per path spelling; a new spelling surely reads the disk again.
        path = f"{self._folder / current.store}{'/.' * (next(_openings) % 50 + 1)}"
        settings = Settings(anonymized_telemetry=False)
        self._client = PersistentClient(path=path, settings=settings)

    def _replace_store(self) -> _Current:
        current = _Current(store=f"chroma-{uuid.uuid4().hex[:8]}", epoch="")
        with translated(self._folder):
            for old in self._folder.glob("chroma-*"):
                shutil.rmtree(old, ignore_errors=True)
            (self._folder / current.store).mkdir(mode=0o700)
        self._write_current(current)
        return current

    def _current(self) -> _Current:
        try:
            return _Current(**json.loads((self._folder / "current.json").read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return _Current()

    def _write_current(self, current: _Current) -> None:
        with translated(self._folder):
            fresh = self._folder / f"current.{os.getpid()}.tmp"
            fresh.write_text(json.dumps(asdict(current)), "utf-8")
            fresh.replace(self._folder / "current.json")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with translated(self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = (self._folder / "lock").open("w")
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Turn Chroma's own errors (a full disk shows as one) into a line and what to do about it."""
    from chromadb.errors import ChromaError

    try:
        with translated(folder):
            yield
    except ChromaError as error:
        with translated(folder):  # says what to do by what SQLite said
            raise sqlite3.OperationalError(" ".join(str(error).split())) from error


def collection_prefix(embedder: str) -> str:
    """An embedder's name as Chroma takes it: 3 to 512 of a-zA-Z0-9._-."""
    return "evo-" + "".join(c if c.isalnum() and c.isascii() else "-" for c in embedder)[:200]


def _fetched(collection: Any, vector: Vector, count: int) -> list[tuple[int, float]]:
    answer = collection.query(
        query_embeddings=[list(vector)], n_results=count, include=["distances"]
    )
    pairs = zip(answer["ids"][0], answer["distances"][0], strict=True)
    return [(int(number), 1.0 - float(distance)) for number, distance in pairs]


def _collection_of(stored: Stored) -> str:
    return "episodic" if stored.record.kind is Kind.EPISODE else "semantic"


def _generation(current: _Current) -> Generation:
    return Generation(current.epoch, current.number, current.last)


def _foreign_failures() -> tuple[type[BaseException], ...]:
    """What a damaged Chroma store raises: its own errors, and whatever its Rust side leaks."""
    from chromadb.errors import ChromaError

    return (ChromaError, ValueError, KeyError, TypeError, RuntimeError, OSError)
