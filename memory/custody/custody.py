"""Memory in the hands of a person: look into it, carry it, forget, purge, mend, check."""

import fcntl
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from evo_agent.core.errors import StoreError, UsageError
from evo_agent.memory.custody import inspect, purge, transfer
from evo_agent.memory.custody.audit import Finding, audit
from evo_agent.memory.custody.inspect import Link, Match, MemoryStats
from evo_agent.memory.custody.transfer import ImportReport
from evo_agent.memory.journal.bodies import Kind
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import State
from evo_agent.memory.journal.schema import translated
from evo_agent.memory.journal.states import transition
from evo_agent.memory.skills.folders import SkillFolders
from evo_agent.memory.skills.skills import read

SHORTEST = 6  # characters of a text that is purged: shorter ones are in too many records
_SKILLS = (".evo/skills", ".agents/skills", ".claude/skills")


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was forgotten.

    Attributes:
        ids: of the records: archived, or gone when `purged`.
        events: others that quoted the text and were blackened.
        folders: of skills that were deleted.
        left: files outside memory that still hold the text (logs of runs); evo leaves them alone.
    """

    ids: tuple[str, ...] = ()
    purged: bool = False
    events: int = 0
    folders: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class Custody:
    """One memory, as a whole.

    Attributes:
        journal: the truth.
        folder: of the journal and of all that is derived from it.
        folders: of skills.
        close: lets go of what is derived.
        sync: makes what is derived, as far as it is missing.
    """

    journal: Journal
    folder: Path
    folders: SkillFolders
    close: Callable[[], None] = field(repr=False)
    sync: Callable[[], None] = field(repr=False)

    def stats(self) -> MemoryStats:
        """How much there is."""
        return inspect.stats(self.journal, self.folder)

    def search(self, text: str, limit: int = 20) -> tuple[Match, ...]:
        """Full text over everything, whatever its state; recall is choosier."""
        return inspect.search(self.journal, text, limit)

    def why(self, record_id: str) -> Link:
        """Where a record comes from and what became of it; StoreError when there is none."""
        return inspect.chain(self.journal, record_id)

    def lines(self) -> Iterator[str]:
        """See transfer.lines."""
        return transfer.lines(self.journal)

    def take(self, file: BinaryIO, *, trust: bool = False) -> ImportReport:
        """See transfer.take_lines."""
        report = transfer.take_lines(self.journal, file, trust=trust)
        self._settle(report)
        return report

    def merge(self, others: Iterable[Path]) -> ImportReport:
        """See transfer.merge."""
        report = transfer.merge(self.journal, others)
        self._settle(report)
        return report

    def found(self, record_id: str) -> str:
        """The whole id; StoreError when there is no such record."""
        stored = self.journal.get(record_id)
        if stored is None:
            raise StoreError(f"no record {record_id}", "see `evo memory search` for ids")
        return stored.record.id

    def holding(self, text: str) -> tuple[str, ...]:
        """Ids of records that hold a text; UsageError when it is so short that too many do."""
        if len(text) < SHORTEST:
            raise UsageError(
                f"a text of {len(text)} characters stands in too many records",
                f"give at least {SHORTEST} characters",
            )
        return purge.holding(self.journal, text)

    def of_repository(self, identity: str) -> tuple[str, ...]:
        """Ids of everything that was learnt in a repository."""
        return tuple(stored.record.id for stored in self.journal.listed(repo=identity))

    def forget(self, ids: Iterable[str], why: str) -> Forgotten:
        """Archive records: they answer no more, and stay. In one transaction."""
        run = f"forget-{purge.fresh()}"
        stored = [s for s in map(self.journal.get, ids) if s and s.state is not State.ARCHIVED]
        self.journal.write(run, [transition(s, State.ARCHIVED, run, why) for s in stored])
        for one in stored:
            if one.record.kind is Kind.SKILL:
                self.folders.refresh(one.record.id)
        return Forgotten(tuple(s.record.id for s in stored))

    def purge(self, ids: Iterable[str], text: str = "") -> Forgotten:
        """Delete records and what was made from them, for good; tombstones keep them away.

        Args:
            ids: of the records.
            text: blackened in whatever else quotes it.

        Raises:
            StoreError: the disk is full, or the journal is busy: then it is pending, and a second
                purge completes it.
        """
        wanted = purge.with_derived(self.journal, ids)
        skills = [folder for one in wanted if (folder := self.folders.folder(one))]
        taken = purge.bury(self.journal, wanted, text)
        gone = set(taken.records) | set(wanted)
        deleted = [str(folder) for folder in self._skill_folders(skills, gone, text)]
        self._discard()
        purge.overwrite(self.journal)
        return Forgotten(taken.records, True, taken.events, tuple(deleted), self._left(text))

    def rebuild(self) -> int:
        """Make the views from the events, and what is derived from the views, anew."""
        count = self.journal.rebuild()
        self._discard()
        self.sync()
        for stored in self.journal.listed(kind=Kind.SKILL):
            self.folders.refresh(stored.record.id)
        return count

    def verify(self) -> tuple[Finding, ...]:
        """See audit."""
        return tuple(audit(self.journal, self.folder, self.folders))

    def _settle(self, report: ImportReport) -> None:
        """What a union that purged leaves to do."""
        if report.taken.purged:
            self._discard()
            purge.overwrite(self.journal)

    def _discard(self) -> None:
        """Delete all that is derived, while nobody is at work on it."""
        self.close()
        with translated(self.folder):
            for path in self.folder.iterdir():
                if path.is_dir() and not path.is_symlink():
                    _empty(path)
                elif not path.name.startswith(self.journal.path.name):
                    path.unlink(missing_ok=True)

    def _skill_folders(self, known: list[Path], gone: set[str], text: str) -> Iterator[Path]:
        """Delete the folders of purged skills, copies for other agents too; a user's stay."""
        bases = [Path(r) / b for r in inspect.roots(self.journal).values() for b in _SKILLS]
        found = (folder for base in bases if base.is_dir() for folder in sorted(base.iterdir()))
        for folder in dict.fromkeys((*known, *found)):
            if not folder.is_dir() or folder.is_symlink():
                continue
            try:
                own = read(folder).metadata.get("evo-id", "")
            except StoreError:
                own = ""
            if own in gone or (own and text and text in (folder / "SKILL.md").read_text("utf-8")):
                shutil.rmtree(folder, ignore_errors=True)
                yield folder

    def _left(self, text: str) -> tuple[str, ...]:
        """Files of runs that hold a text: not memory's, but the person should know."""
        runs = [Path(r) / ".evo" / "runs" for r in inspect.roots(self.journal).values()]
        files = (file for folder in runs if text for file in sorted(folder.rglob("*")))
        sought = text.encode()
        return tuple(str(f) for f in files if f.is_file() and sought in f.read_bytes())


def _empty(folder: Path) -> None:
    """Delete what is in a folder, but not its lock, while holding that."""
    lock = folder / "lock"
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink() and any(path.rglob("lock")):
                _empty(path)
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path != lock:
                path.unlink(missing_ok=True)
