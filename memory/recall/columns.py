"""Columns: what the filter and the ranking need of every record, without reading one.

Derived from the journal and thrown away at will. Most of it lies in one file (memory.recall.arrays) that
every process maps; what has been written since is kept in memory, until it is enough to write the
file anew. A file that is damaged, of another journal or of another past of it is made again.
"""

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evo_agent.memory.journal.bodies import Kind
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import Scope
from evo_agent.memory.journal.rows import Generation
from evo_agent.memory.recall.arrays import Arrays, load, save
from evo_agent.memory.recall.postings import Array, Postings, inverted, unpacked

SHA_BYTES = 20  # of a commit's name; SHA-256 is cut to as many
LEAST_TAIL = 1_000  # records beyond the file before it is written anew, or a tenth of it
KINDS = tuple(kind.value for kind in Kind)
SCOPES = tuple(scope.value for scope in Scope)
_SHA = re.compile(r"[0-9a-f]{40,64}")
_SQL = (
    "SELECT r.number, r.kind, r.scope, r.repo, r.time, r.sha, f.data FROM records r "
    "JOIN features f ON f.number = r.number WHERE r.number > ? AND r.number <= ? ORDER BY r.number"
)
_ROWS = ("number", "kind", "scope", "repo", "time", "sha", "flags", "length")


@dataclass(frozen=True, slots=True)
class Part:
    """Some records in order of number.

    Attributes:
        repos: identities of repositories; `rows["repo"]` counts in them.
        rows: (n,) arrays by name: number int64, kind and scope uint8, repo uint32, time float64
            (seconds since 1970), sha (n, 20) uint8, flags and length uint32.
        postings: of these records.
    """

    generation: Generation
    repos: tuple[str, ...]
    rows: dict[str, Array]
    postings: Postings

    def __len__(self) -> int:
        return len(self.rows["number"])


@dataclass(frozen=True)
class Snapshot:
    """All records at a generation: `rows` of the parts in a row, `offsets` where each begins."""

    generation: Generation
    repos: tuple[str, ...]
    rows: dict[str, Array]
    parts: tuple[Part, ...]
    offsets: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows["number"])

    @cached_property
    def commits(self) -> Array:
        """Which rows are commits, (n,) bool."""
        return self.rows["sha"].any(axis=1)

    @cached_property
    def mean_length(self) -> float:
        """Mean length of the records in terms, never 0."""
        return max(1e-9, float(self.rows["length"].mean())) if len(self) else 1.0


class Columns:
    """The columns of one journal, brought up to date when they are asked for.

    Args:
        folder: where the file lies; made when missing.
        journal: the truth.
        say: told, in one line, when the folder cannot be written.
    """

    def __init__(self, folder: Path, journal: Journal, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._path = folder / "columns.bin"
        self._journal = journal
        self._say = say
        self._base: Part | None = None
        self._snapshot: Snapshot | None = None

    def snapshot(self) -> Snapshot:
        """Every record that the journal has now.

        Raises:
            StoreError: the journal cannot be read.
        """
        wanted = self._journal.generation()
        if self._snapshot is None or self._snapshot.generation != wanted:
            self._snapshot = self._caught_up(wanted)
        return self._snapshot

    def _caught_up(self, wanted: Generation) -> Snapshot:
        base = self._usable(self._base, wanted) or self._usable(_opened(self._path), wanted)
        tail: Part | None = self._read(wanted, base)
        assert tail is not None
        if len(tail) > max(LEAST_TAIL, (len(base) if base else 0) // 10):
            base, tail = self._written(wanted)
        self._base = base
        return _joined(wanted, tuple(part for part in (base, tail) if part and len(part)))

    def _usable(self, part: Part | None, wanted: Generation) -> Part | None:
        """The part, if it belongs to this journal and to this past of it."""
        if part is None or part.generation.epoch != wanted.epoch:
            return None
        held = self._journal.holds(part.generation.number, part.generation.last)
        return part if held else None

    def _written(self, wanted: Generation) -> tuple[Part, Part | None]:
        """The file made anew, by one process at a time; the others wait and take it."""
        try:
            with locked(self._folder):
                found = self._usable(_opened(self._path), wanted)
                if found is not None and found.generation.number == wanted.number:
                    return found, None
                whole = self._read(wanted, None)
                about = {"generation": list(whole.generation), "repos": whole.repos}
                save(self._path, about, whole.rows | whole.postings.named())
                return whole, None
        except OSError as error:
            self._say(f"{self._folder} cannot be written ({error.strerror}): recall is slower")
            return self._read(wanted, None), None

    def _read(self, wanted: Generation, base: Part | None) -> Part:
        """The records after a part, from the journal."""
        after = base.generation.number if base else 0
        with self._journal.transaction(write=False) as connection:
            found = connection.execute(_SQL, (after, wanted.number)).fetchall()
        return _made(wanted, found, base.repos if base else ())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, so that of many processes one does the work.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _made(wanted: Generation, found: list[Any], repos: tuple[str, ...]) -> Part:
    import numpy as np

    codes = {repo: code for code, repo in enumerate(repos)}
    for row in found:
        codes.setdefault(row[3], len(codes))
    heads, rows, hashes, weights = unpacked([row[6] for row in found])
    columns = {
        "number": np.fromiter((row[0] for row in found), np.int64),
        "kind": np.fromiter((KINDS.index(row[1]) for row in found), np.uint8),
        "scope": np.fromiter((SCOPES.index(row[2]) for row in found), np.uint8),
        "repo": np.fromiter((codes[row[3]] for row in found), np.uint32),
        "time": np.fromiter((row[4] for row in found), np.float64),
        "sha": sha_rows([row[5] for row in found]),
        "flags": heads.flags,
        "length": heads.length,
    }
    return Part(wanted, tuple(codes), columns, inverted(rows, hashes, weights))


def sha_rows(shas: list[str]) -> Array:
    """Names of commits as (n, 20) uint8; zeros where there is none, ones where it is no name."""
    import numpy as np

    digits = 2 * SHA_BYTES
    none, strange = "0" * digits, "f" * digits
    cut = "".join(
        (sha[:digits] if _SHA.fullmatch(sha) else strange) if sha else none for sha in shas
    )
    return np.frombuffer(bytes.fromhex(cut), np.uint8).reshape(-1, SHA_BYTES)


def _opened(path: Path) -> Part | None:
    found: Arrays | None = load(path)
    if found is None:
        return None
    try:
        rows = {name: found.named[name] for name in _ROWS}
        postings = Postings(**{k: v for k, v in found.named.items() if k not in rows})
        generation = Generation(*found.about["generation"])
        return Part(generation, tuple(found.about["repos"]), rows, postings)
    except (KeyError, TypeError):  # of another version
        return None


def _joined(generation: Generation, parts: tuple[Part, ...]) -> Snapshot:
    import numpy as np

    if not parts:
        parts = (_made(generation, [], ()),)
    offsets = np.cumsum([0, *map(len, parts)])
    if len(parts) == 1:
        rows = parts[0].rows
    else:
        rows = {name: np.concatenate([part.rows[name] for part in parts]) for name in _ROWS}
    return Snapshot(generation, parts[-1].repos, rows, parts, tuple(int(o) for o in offsets[:-1]))
