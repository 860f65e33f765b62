"""Unified diffs of git: which files, which hunks, which language."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from evo_agent.memory.journal.bodies import FileChange, Hunk

MOST_HUNKS = 200
_SECTION = re.compile(r"^diff --git ", re.MULTILINE)
_HUNK = re.compile(
    r"^@@ -(?P<a>\d+)(?:,(?P<b>\d+))? \+(?P<c>\d+)(?:,(?P<d>\d+))? @@ ?(?P<section>.*)$",
    re.MULTILINE,
)
_TARGET = re.compile(r"^(?:\+\+\+ b/|--- a/|rename to )(?P<path>[^\t\n]+)", re.MULTILINE)
_LANGUAGES = {
    ".py": "python", ".pyi": "python", ".js": "javascript", ".mjs": "javascript",
    ".jsx": "javascript", ".ts": "typescript", ".tsx": "typescript", ".go": "go", ".rs": "rust",
    ".java": "java", ".c": "c", ".h": "c", ".cpp": "cpp", ".rb": "ruby",
}  # fmt: skip


def sectioned(
    files: Sequence[FileChange], patch: str
) -> tuple[tuple[FileChange, ...], tuple[Hunk, ...]]:
    """Give a patch's sections, which stand in the order of the files, to their files."""
    sections = iter(_SECTION.split(patch)[1:])
    changes: list[FileChange] = []
    hunks: list[Hunk] = []
    for file in files:
        section = next(sections, "")
        if file.status == "T":  # a change of type is a removal and an addition
            section += next(sections, "")
        changes.append(replace(file, binary="\nBinary files " in section))
        hunks += itertools.islice(_hunks(file.path, section), MOST_HUNKS - len(hunks))
    return tuple(changes), tuple(hunks)


def changed_files(patch: str) -> tuple[tuple[FileChange, ...], tuple[Hunk, ...]]:
    """Files and hunks of a patch that comes without a list of files."""
    files = []
    for section in _SECTION.split(patch)[1:]:
        head = section.split("\n@@", 1)[0]
        found = [match["path"] for match in _TARGET.finditer(head)]
        path = found[-1] if found else head.split("\n", 1)[0].rpartition(" b/")[2]
        status = "A" if "\nnew file" in head else "D" if "\ndeleted file" in head else "M"
        files.append(FileChange(path, status))
    return sectioned(files, patch)


def languages(paths: Sequence[str]) -> tuple[str, ...]:
    """Languages of files by their endings, each once."""
    known = (_LANGUAGES.get(PurePosixPath(path).suffix) for path in paths)
    return tuple(dict.fromkeys(name for name in known if name))


def _hunks(path: str, section: str) -> Iterator[Hunk]:
    for match in _HUNK.finditer(section):
        a, b, c, d, section = match.groups()
        old, new = (int(a), int(b or 1)), (int(c), int(d or 1))
        yield Hunk(path, *old, *new, section.strip()[:200])
