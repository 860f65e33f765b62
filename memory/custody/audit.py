"""The whole check of a memory: one line for each thing that is wrong.

The file, every record's id against its content, every view against the events, what is derived,
the evidence of what was concluded, and the skills' folders. Nothing is changed.
"""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from evo_agent.core.errors import StoreError
from evo_agent.memory.custody.inspect import roots
from evo_agent.memory.custody.purge import PENDING
from evo_agent.memory.journal import views
from evo_agent.memory.journal.bodies import Kind, Skill
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import from_json, unpack
from evo_agent.memory.journal.rows import Stored
from evo_agent.memory.journal.schema import VIEWS, translated
from evo_agent.memory.journal.states import ASLEEP
from evo_agent.memory.lifecycle.evidence import Evidence
from evo_agent.memory.recall.arrays import load
from evo_agent.memory.skills.folders import SkillFolders
from evo_agent.memory.skills.skill_library import current
from evo_agent.memory.skills.skills import read

_REBUILD = "`evo memory rebuild` mends it"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong: where, what, and what to do about it."""

    where: str
    what: str
    remedy: str = ""


def audit(journal: Journal, folder: Path, folders: SkillFolders) -> Iterator[Finding]:
    """Look at everything.

    Args:
        journal: open.
        folder: of the journal and of what is derived from it.
        folders: knows where skills were written.

    Raises:
        StoreError: the journal cannot even be read.
    """
    damaged = list(_file(journal))
    yield from damaged
    if not damaged:
        yield from _views(journal, folder)
        yield from _evidence(journal)
        yield from _skills(journal, folders)
    yield from _derived(folder)
    if journal.remembered(PENDING):
        again = "run `evo memory forget --purge` again with the same words"
        yield Finding("journal", "a purge was interrupted: the file may hold its text", again)


def _file(journal: Journal) -> Iterator[Finding]:
    restore = "restore the journal from a copy or an export"
    try:
        with journal.transaction(write=False) as connection:
            for (said,) in connection.execute("PRAGMA integrity_check").fetchall():
                if said != "ok":
                    yield Finding("journal", " ".join(str(said).split()), restore)
            sql = "SELECT record, data FROM events WHERE kind = 'record' ORDER BY position"
            for record_id, data in connection.execute(sql):
                wrong = _wrong(record_id, data)
                if wrong:
                    yield Finding(f"record {record_id[:12]}", wrong, restore)
    except StoreError as error:
        yield Finding("journal", error.cause, restore)


def _wrong(record_id: str, data: bytes) -> str:
    try:
        record = from_json(unpack(data))
    except StoreError as error:
        return error.cause
    return "" if record.id == record_id else f"its content is that of {record.id[:12]}"


def _views(journal: Journal, folder: Path) -> Iterator[Finding]:
    """Make the views anew in a copy of the events, and compare."""
    before = journal.position()
    with (
        translated(folder),
        tempfile.TemporaryDirectory(prefix="verify-", dir=folder) as scratch,
        closing(sqlite3.connect(Path(scratch) / "copy.sqlite", isolation_level=None)) as copy,
    ):
        copy.execute("PRAGMA synchronous = OFF")
        with closing(sqlite3.connect(journal.path)) as source:
            source.backup(copy)
        copy.execute("BEGIN")
        views.rebuild(copy)
        copy.execute("COMMIT")
        copy.execute("ATTACH ? AS kept", (str(journal.path),))
        found = [
            (view, *_difference(copy, view, _columns(copy, view)))
            for view in VIEWS
            if view != "search"
        ]
    if journal.position() != before:
        yield Finding("views", "others wrote meanwhile, so they were not compared", "run it again")
        return
    for view, lacking, excess in found:
        if lacking or excess:
            name = "search" if view == "terms" else view
            what = f"disagrees with the events: {lacking} rows missing, {excess} too many"
            yield Finding(f"view {name}", what, _REBUILD)


def _columns(connection: sqlite3.Connection, view: str) -> str:
    names = [str(row[1]) for row in connection.execute(f"PRAGMA main.table_info({view})")]
    return ", ".join(name for name in names if name != "number")


def _difference(connection: sqlite3.Connection, view: str, columns: str) -> tuple[int, int]:
    """Rows that a view lacks, and rows that it should not have; numbers aside."""
    ours, kept = (f"SELECT {columns} FROM {schema}.{view}" for schema in ("main", "kept"))  # noqa: S608 - constants
    counts = (f"SELECT count(*) FROM ({a} EXCEPT {b})" for a, b in ((ours, kept), (kept, ours)))  # noqa: S608 - constants
    lacking, excess = (int(connection.execute(sql).fetchone()[0]) for sql in counts)
    return lacking, excess


def _evidence(journal: Journal) -> Iterator[Finding]:
    evidence = Evidence(journal)
    for kind in (Kind.INSIGHT, Kind.SKILL, Kind.GUARDRAIL):
        for stored in journal.listed(kind=kind):
            record = stored.record
            missing = evidence.missing(record) if record.evidence_ids else ""
            if missing and stored.state not in ASLEEP:
                what = f"its evidence is {missing}"
                yield Finding(f"{kind} {record.id[:12]}", what, "`evo memory forget` archives it")


def _derived(folder: Path) -> Iterator[Finding]:
    """Files that hold arrays are read and their checksums compared."""
    try:
        import numpy  # noqa: F401, ICN001  (what reads them needs it)
    except ImportError:
        return
    for path in sorted((folder / "index").rglob("*.bin")):
        if not any(part.startswith("chroma-") for part in path.parts) and load(path) is None:
            yield Finding(f"index {path.name}", "damaged; the next recall makes it anew", _REBUILD)


def _skills(journal: Journal, folders: SkillFolders) -> Iterator[Finding]:
    named: dict[tuple[str, str], list[Stored]] = {}
    for stored in journal.listed(kind=Kind.SKILL):
        if isinstance(stored.record.body, Skill):
            named.setdefault((stored.record.repo, stored.record.body.name), []).append(stored)
    here = roots(journal)
    for versions in named.values():
        counts = current(versions)
        written = folders.folder(counts.record.id) if counts else None
        root = here.get(versions[0].record.repo, "")
        # A checkout that is gone, or was never here, took its folders with it.
        if counts and written and root and Path(root).is_dir() and written.is_relative_to(root):
            wrong = _folder_wrong(written, counts)
            if wrong:
                yield Finding(f"skill {written.name}", wrong, _REBUILD)


def _folder_wrong(folder: Path, stored: Stored) -> str:
    if not (folder / "SKILL.md").exists():
        return f"{folder} is gone"
    try:
        metadata = read(folder).metadata
    except StoreError as error:
        return error.cause
    if metadata.get("evo-id") != stored.record.id:
        return f"{folder} holds another version"
    if metadata.get("evo-state") != stored.state:
        return f"{folder} says {metadata.get('evo-state')}, the journal {stored.state}"
    return ""
