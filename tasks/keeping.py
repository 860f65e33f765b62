"""What a person does with memory as a whole: look into it, carry it, forget, mend, check."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from evo_agent.core.config import Config
from evo_agent.core.errors import EvoError, UsageError
from evo_agent.core.git import open_repository
from evo_agent.tasks.knowledge import open_memory

if TYPE_CHECKING:
    from evo_agent.memory.custody.audit import Finding
    from evo_agent.memory.custody.custody import Forgotten
    from evo_agent.memory.custody.inspect import Link, Match, MemoryStats
    from evo_agent.memory.custody.transfer import ImportReport
    from evo_agent.memory.lifecycle.upkeep import UpkeepReport

STANDARD = "-"  # the file that is standard input or output


@dataclass(frozen=True, slots=True)
class Overview:
    """What `evo memory stats` says.

    Attributes:
        stats: see memory.custody.inspect.
        embedder: the configured one.
        index: folders of what is derived, with bytes; empty until the first recall or learn.
    """

    stats: "MemoryStats"
    embedder: str
    index: dict[str, int]


def stats(root: Path, config: Config) -> Overview:
    """How much there is, and where."""
    with open_memory(config, root) as memory:
        found = memory.custody.stats()
    folders = sorted(p for p in (Path(found.folder) / "index").glob("*") if p.is_dir())
    sizes = {p.name: sum(f.stat().st_size for f in p.rglob("*") if f.is_file()) for p in folders}
    return Overview(found, config.memory.embedder, sizes)


def search(root: Path, config: Config, text: str, limit: int) -> "tuple[Match, ...]":
    """Full text over everything in memory, whatever its state."""
    with open_memory(config, root) as memory:
        return memory.custody.search(text, limit)


def why(root: Path, config: Config, record_id: str) -> "Link":
    """Where a record comes from."""
    with open_memory(config, root) as memory:
        return memory.custody.why(record_id)


def prune(root: Path, config: Config, *, everywhere: bool, dry: bool) -> "UpkeepReport":
    """Apply the lifecycle's rules, to this repository's records or to all."""
    repo = "" if everywhere else open_repository(root).identity
    with open_memory(config, root) as memory:
        return memory.upkeep.run(repo, dry=dry)


@dataclass(frozen=True, slots=True)
class Forget:
    """What is to be forgotten; exactly one of the first three.

    Attributes:
        record: the beginning of an id.
        text: everything that holds it ("-": one line of standard input, which no shell records).
        everything: all that was learnt in this repository.
        purge: delete it for good, instead of archiving.
        dry: only say what would be.
    """

    record: str = ""
    text: str = ""
    everything: bool = False
    purge: bool = False
    dry: bool = False

    def checked(self) -> "Forget":
        """Raise UsageError unless one thing, and only one, is named."""
        if (bool(self.record), bool(self.text), self.everything).count(True) != 1:
            raise UsageError(
                "name what to forget: an id, --secret TEXT or --everything",
                "see `evo memory forget --help`",
            )
        return self


def forget(root: Path, config: Config, what: Forget) -> "Forgotten":
    """Archive or purge; see Forget.

    Raises:
        UsageError: it does not say what.
        StoreError: there is no such record, or the journal cannot be written.
    """
    from evo_agent.memory.custody.custody import Forgotten  # noqa: PLC0415

    what.checked()
    text = sys.stdin.readline().rstrip("\r\n") if what.text == STANDARD else what.text
    with open_memory(config, root) as memory:
        custody = memory.custody
        if what.everything:
            ids = custody.of_repository(open_repository(root).identity)
        else:
            ids = custody.holding(text) if text else (custody.found(what.record),)
        if what.dry:
            return Forgotten(ids)
        if what.purge:
            return custody.purge(ids, text)
        return custody.forget(ids, "forgotten by hand")


def export(root: Path, config: Config, target: str) -> int:
    """Write all of memory to a file, whole or not at all, readable by its owner only.

    Args:
        root: of the repository.
        config: says where memory lies.
        target: the file; "-" is standard output.

    Returns:
        How many lines, the header with them.
    """
    with open_memory(config, root) as memory, _written(target) as file:
        count = 0
        for line in memory.custody.lines():
            file.write(line.encode() + b"\n")
            count += 1
        return count


def import_(root: Path, config: Config, source: str, *, trust: bool) -> "ImportReport":
    """Take in an export; see memory.transfer.take_lines."""
    with open_memory(config, root) as memory, _opened(source) as file:
        return memory.custody.take(file, trust=trust)


def merge(root: Path, config: Config, folders: list[Path]) -> "ImportReport":
    """Take in other memories of one's own."""
    with open_memory(config, root) as memory:
        return memory.custody.merge(folders)


def rebuild(root: Path, config: Config) -> int:
    """Make everything that is derived anew; how many records there are."""
    with open_memory(config, root) as memory:
        return memory.custody.rebuild()


def verify(root: Path, config: Config) -> "tuple[Finding, ...]":
    """What is wrong with memory; nothing when all is well."""
    with open_memory(config, root) as memory:
        return memory.custody.verify()


@contextmanager
def _written(target: str) -> Iterator[BinaryIO]:
    """A file written beside its place and then renamed into it; or standard output."""
    if target == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise _unusable(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    if source == STANDARD:
        yield sys.stdin.buffer
        return
    try:
        file = io.BufferedReader(io.FileIO(source))
    except OSError as error:
        raise _unusable(Path(source), error) from error
    with file:
        yield file


def _unusable(path: Path, error: OSError) -> EvoError:
    return EvoError(f"{path}: {error.strerror}", "name another file, or make room there")
