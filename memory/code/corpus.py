"""The source files of a commit, parsed: candidates, and their terms in arrays."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from evo_agent.core.errors import MissingDependencyError
from evo_agent.core.git import Repository
from evo_agent.memory.code.grammars import language_of
from evo_agent.memory.code.lexemes import counted, to_blob
from evo_agent.memory.code.parses import Parse, Parses
from evo_agent.memory.code.symbols import LARGEST

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]  # also what counts and places are
    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

_LINK = b"120000"
_BATCH = 400  # blobs read at once
MOST_FILES = 20_000  # of a commit
_TEST_FOLDERS = frozenset({"tests", "__tests__", "spec", "specs"})
_TOP_TEST_FOLDERS = frozenset({"test", "testing"})


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a commit."""

    path: str
    blob: str

    @property
    def key(self) -> tuple[str, str]:
        """What its parse depends on."""
        return self.blob, language_of(self.path)


def is_test(path: str) -> bool:
    """Whether a path is a test's by the customs of its language."""
    parts = PurePosixPath(path).parts
    name = PurePosixPath(path).stem
    return (
        not _TEST_FOLDERS.isdisjoint(parts[:-1])
        or parts[0] in _TOP_TEST_FOLDERS
        or parts[:2] == ("src", "test")
        or name in {"conftest", "tests", "test"}
        or name.startswith("test_")
        or name.endswith(("_test", ".test", ".spec", "_spec"))
    )


def source_files(repository: Repository, commit: str) -> list[SourceFile]:
    """Parsable files of a commit, tests included, in order of their paths.

    Raises:
        RepositoryError: there is no such commit.
    """
    listed = repository.view.run("ls-tree", "-r", "-z", "-l", "--full-tree", commit)
    found: list[SourceFile] = []
    for entry in listed.split(b"\0"):
        head, _, name = entry.partition(b"\t")
        fields = head.split()
        path = name.decode("utf-8", "replace")
        is_file = len(fields) == len(("mode", "type", "blob", "size")) and fields[1] == b"blob"
        if is_file and fields[0] != _LINK and language_of(path) and int(fields[3]) <= LARGEST:
            found.append(SourceFile(path, fields[2].decode()))
    return found[:MOST_FILES]


def parsed(
    repository: Repository, files: Sequence[SourceFile], parses: Parses
) -> dict[tuple[str, str], Parse]:
    """Each file's parse, from the cache or made now."""
    known = parses.get([file.key for file in files])
    missing = list({file.key: file for file in files if file.key not in known}.values())
    for start in range(0, len(missing), _BATCH):
        some = missing[start : start + _BATCH]
        sources = _read(repository, some)
        made = {
            file.key: to_blob(counted(file.path, source))
            for file, source in zip(some, sources, strict=True)
        }
        parses.put(made)
        known |= made
    if missing:
        parses.trim()
    return known


def _read(repository: Repository, files: Sequence[SourceFile]) -> Iterator[bytes]:
    """The bytes of blobs, in order; empty for one that is not there."""
    asked = "".join(f"{file.blob}\n" for file in files).encode()
    data = memoryview(repository.view.run("cat-file", "--batch", stdin=asked))
    for _ in files:
        end = bytes(data[:200]).index(b"\n")
        fields = bytes(data[:end]).split()
        data = data[end + 1 :]
        size = int(fields[2]) if len(fields) == len(("blob", "type", "size")) else -1
        yield bytes(data[: max(size, 0)])
        data = data[size + 1 :]


@dataclass(frozen=True)
class Corpus:
    """Terms of many files, entry by entry, in parallel arrays.

    Attributes:
        paths: of the files.
        told: names and imports of each file, as lexemes.to_blob wrote them.
        term, chunk, field, count: of each entry; chunks are numbered through all files.
        chunk_file: file of each chunk.
        first_chunk: number of each file's chunk 0, the module's rest.
    """

    paths: tuple[str, ...]
    told: tuple[str, ...]
    term: "NDArray[np.uint32]"
    chunk: "Ints"
    field: "NDArray[np.uint8]"
    count: "NDArray[np.uint8]"
    chunk_file: "Ints"
    first_chunk: "Ints"

    def names(self, file: int) -> list[Any]:
        """Places and imports of a file: [[qualified, kind, first, last], …], [module, …]."""
        found: list[Any] = json.loads(self.told[file])
        return found

    @property
    def size(self) -> int:
        """How many files."""
        return len(self.paths)

    @cached_property
    def entry_file(self) -> "Ints":
        """File of each entry."""
        return self.chunk_file[self.chunk]


def corpus(paths: Sequence[str], parses: Sequence[Parse]) -> Corpus:
    """Join the parses of files, in their order.

    Raises:
        MissingDependencyError: numpy is not installed.
    """
    import numpy as np

    terms, chunks, fields, counts, owners, firsts = [], [], [], [], [], []
    total = 0
    for number, (data, told) in enumerate(parses):
        size = int.from_bytes(data[:4], "little")
        terms.append(np.frombuffer(data, np.uint32, size, 4))
        own = np.frombuffer(data, np.uint16, size, 4 + 4 * size)
        chunks.append(own.astype(np.int64) + total)
        fields.append(np.frombuffer(data, np.uint8, size, 4 + 6 * size))
        counts.append(np.frombuffer(data, np.uint8, size, 4 + 7 * size))
        held = 1 + int(told[: told.index("|")])
        owners.append(np.full(held, number))
        firsts.append(total)
        total += held
    return Corpus(
        paths=tuple(paths),
        told=tuple(told.partition("|")[2] for _, told in parses),
        term=_joined(terms, np.uint32),
        chunk=_joined(chunks, np.int64),
        field=_joined(fields, np.uint8),
        count=_joined(counts, np.uint8),
        chunk_file=_joined(owners, np.int64),
        first_chunk=np.array(firsts, np.int64),
    )


def summed(owner: "Ints", value: "NDArray[Any]", owners: int) -> "Floats":
    """Sum of the values of each owner, as an array of length owners."""
    import numpy as np

    return np.bincount(owner, value, owners).astype(np.float64)


def _joined(parts: "list[NDArray[Any]]", kind: Any) -> "NDArray[Any]":
    import numpy as np

    return np.concatenate(parts) if parts else np.zeros(0, kind)


def numpy() -> Any:
    """The package, which is heavy and may be missing.

    Raises:
        MissingDependencyError: it is missing.
    """
    try:
        import numpy as np
    except ImportError as error:
        raise MissingDependencyError(
            "numpy is not installed", "pip install 'evo-agent[memory]'"
        ) from error
    return np
