"""The functions, methods and classes whose lines a commit changed."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from evo_agent.core.errors import MissingDependencyError
from evo_agent.memory.code.symbols import definitions
from evo_agent.memory.history.gitlog import Commit
from evo_agent.memory.history.gitread import Asking
from evo_agent.memory.journal.bodies import Hunk

MOST_FILES = 20  # of a commit that are looked into
MOST_SYMBOLS = 60


@dataclass(frozen=True, slots=True)
class Symbol:
    """A definition: its file, and its name with those around it (`Class.method`).

    `parsed` says whether a parser found it, or git's hunk header, which names the line that the
    hunk comes after.
    """

    path: str
    name: str
    parsed: bool = True


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a file's change: its bytes, and the first and last lines touched."""

    path: str
    source: bytes
    lines: tuple[tuple[int, int], ...]


def symbols(asking: Asking, commit: Commit) -> tuple[Symbol, ...]:
    """The innermost definitions around the changed lines, before and after, each once.

    Args:
        asking: the repository.
        commit: read without context lines (`read_commits(..., context=0)`).

    Raises:
        OutOfTimeError: the time is up.
        RepositoryError: git failed.
    """
    hunks: dict[str, list[Hunk]] = {}
    for hunk in commit.hunks:
        hunks.setdefault(hunk.path, []).append(hunk)
    hunks = dict(itertools.islice(hunks.items(), MOST_FILES))
    renamed = {file.path: file.old or file.path for file in commit.files}
    found: dict[Symbol, None] = {}
    parsed: set[str] = set()
    for side in _sides(asking, commit, hunks, renamed):
        around = _around(side)
        if around is not None:
            parsed.add(side.path)
            found |= dict.fromkeys(around)
    headers = (h for path, some in hunks.items() if path not in parsed for h in some if h.section)
    found |= dict.fromkeys(Symbol(h.path, h.section, parsed=False) for h in headers)
    return tuple(found)[:MOST_SYMBOLS]


def _sides(
    asking: Asking, commit: Commit, hunks: dict[str, list[Hunk]], renamed: dict[str, str]
) -> Iterator[_Side]:
    """What there is of each file after the commit and, where lines were removed, before it."""
    after = asking.blobs(commit.sha, list(hunks))
    former = {renamed.get(path, path): path for path in hunks}
    before = asking.blobs(commit.parents[0], list(former)) if commit.parents else {}
    for path, source in after.items():
        yield _Side(path, source, _lines((h.new_start, h.new_lines) for h in hunks[path]))
    for old, source in before.items():
        path = former[old]
        side = _Side(old, source, _lines((h.old_start, h.old_lines) for h in hunks[path]))
        yield replace(side, path=path)


def _lines(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    return tuple((first, first + count - 1) for first, count in ranges if count)


def _around(side: _Side) -> list[Symbol] | None:
    """Innermost definitions around the lines; None when the language is not parsed."""
    try:
        known = definitions(side.path, side.source)
    except MissingDependencyError:
        return None
    if not known:
        return None
    found: list[Symbol] = []
    for first, last in side.lines:
        around = [one for one in known if one.first <= last and one.last >= first]
        # Outer ones come first: one that the next is inside of was touched only through it.
        inner = [
            one
            for one, after in itertools.zip_longest(around, around[1:])
            if after is None or after.first > one.last or first < after.first or last > after.last
        ]
        found += [Symbol(side.path, one.qualified) for one in inner]
    return found
