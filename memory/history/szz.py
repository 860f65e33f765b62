"""Which commits introduced the lines that a fix replaced.

SZZ: Sliwerski, Zimmermann and Zeller, When do changes induce fixes?, MSR 2005, by `git blame` at
the fix's parent; blank lines and lines of comment alone are left out, and changes of whitespace
are looked through (Kim et al., Automatic identification of bug-introducing changes, ASE 2006).
A revert introduces nothing: of lines that it put back, the commit that first wrote them is named.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from evo_agent.core.errors import RepositoryError
from evo_agent.memory.history.gitlog import Commit
from evo_agent.memory.history.gitread import LARGEST_BLOB, Asking, OutOfTimeError
from evo_agent.memory.history.messages import is_test, undone

MOST_FILES = 10  # of a fix
MOST_LINES = 300  # replaced lines of a file
DEEPEST = 3  # reverts of reverts that are followed
_HASH = re.compile(r"^([0-9a-f]{40,64}) \d+ (\d+)")
_MARKS = {  # what a line of comment alone begins with
    "#": (".py", ".pyi", ".rb", ".sh", ".toml", ".yml", ".yaml", ".cfg", ".pl", ".r"),
    "// /* * */": (
        *(".js", ".jsx", ".mjs", ".ts", ".tsx", ".go", ".rs", ".java", ".c", ".h", ".cc", ".cpp"),
        *(".hpp", ".cs", ".kt", ".swift", ".scala", ".php", ".css", ".scss"),
    ),
}
_COMMENTS = {end: tuple(marks.split()) for marks, ends in _MARKS.items() for end in ends}


@dataclass(frozen=True, slots=True)
class Introduced:
    """A commit that introduced lines which a fix replaced: how many, and in which file then.

    The path is empty for a commit that a revert undoes.
    """

    sha: str
    path: str
    lines: int


@dataclass(frozen=True, slots=True)
class _Blamed:
    """A line that was replaced: who wrote it, where it stood then, and what it says."""

    sha: str
    path: str
    text: str


def introductions(asking: Asking, fix: Commit) -> tuple[Introduced, ...]:
    """The commits behind a fix, most lines first.

    Args:
        asking: the repository.
        fix: read without context lines (`read_commits(..., context=0)`).

    Raises:
        OutOfTimeError: the time is up.
        RepositoryError: git failed, as for a parent that a shallow clone lacks.
    """
    if not fix.parents:
        return ()
    renamed = {file.path: file.old for file in fix.files if file.old}
    replaced = replaced_lines(fix)
    counted: Counter[tuple[str, str]] = Counter()
    if undoes := _commit_named(asking, undone(fix.message)):  # it says itself whom it blames
        return (Introduced(undoes, "", sum(map(len, replaced.values()))),)
    for path, lines in replaced.items():
        blamed = _blame(asking, fix.parents[0], renamed.get(path, path), lines)
        for one in _past_reverts(asking, blamed, DEEPEST):
            counted[one.sha, one.path] += 1
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Introduced(sha, path, count) for (sha, path), count in ranked)


def replaced_lines(fix: Commit) -> dict[str, list[int]]:
    """Numbers, before it, of the lines of code that a commit took away, by its files.

    Tests count only when nothing else was touched.
    """
    old = _removed(fix.patch)
    found: dict[str, list[int]] = {}
    for hunk in fix.hunks:
        texts = [next(old, "") for _ in range(hunk.old_lines)]
        lines = found.setdefault(hunk.path, [])
        lines += [
            hunk.old_start + offset
            for offset, text in enumerate(texts)
            if says_something(hunk.path, text)
        ]
    told = {path: lines[:MOST_LINES] for path, lines in found.items() if lines}
    code = {path: lines for path, lines in told.items() if not is_test(path)}
    return dict(list((code or told).items())[:MOST_FILES])


def says_something(path: str, line: str) -> bool:
    """Whether a line is more than blank or a comment."""
    text = line.strip()
    return bool(text) and not text.startswith(_COMMENTS.get(PurePosixPath(path).suffix, ("\0",)))


def _removed(patch: str) -> Iterator[str]:
    """Texts of removed lines, in order; a file's header is not one."""
    inside = False
    for line in patch.split("\n"):
        if line.startswith("@@ "):
            inside = True
        elif line.startswith("diff --git "):
            inside = False
        elif inside and line.startswith("-"):
            yield line[1:]


def _past_reverts(asking: Asking, blamed: Iterable[_Blamed], depth: int) -> Iterator[_Blamed]:
    """In the place of lines that a revert put back, those that it had in mind."""
    by_commit: dict[str, list[_Blamed]] = {}
    for line in blamed:
        by_commit.setdefault(line.sha, []).append(line)
    for sha, lines in by_commit.items():
        message = asking.ask("log", "-1", "--format=%B", sha, "--").decode("utf-8", "replace")
        undoes = _commit_named(asking, undone(message))
        if undoes and depth:
            yield from _before(asking, undoes, lines, depth)
        else:
            yield from lines


def _before(asking: Asking, undoes: str, lines: Iterable[_Blamed], depth: int) -> Iterator[_Blamed]:
    """Who had written lines before a commit that was undone later."""
    wanted: dict[str, list[_Blamed]] = {}
    for line in lines:
        wanted.setdefault(line.path, []).append(line)
    for path, found in wanted.items():
        try:
            earlier = {one.text: one for one in _blame(asking, f"{undoes}^", path, ())}
        except OutOfTimeError:
            raise
        except RepositoryError:  # the file had another name then, or there was no parent
            earlier = {}
        known = [earlier[line.text] for line in found if line.text in earlier]
        yield from _past_reverts(asking, known, depth - 1)
        yield from (line for line in found if line.text not in earlier)


def _blame(asking: Asking, commit: str, path: str, lines: Iterable[int]) -> list[_Blamed]:
    """Who wrote lines of a file as it was in a commit; without lines, all of them."""
    if int(asking.ask("cat-file", "-s", f"{commit}:{path}")) > LARGEST_BLOB:
        return []
    ranges = [f"-L{first},{last}" for first, last in _runs(sorted(lines))]
    options = ("blame", "--porcelain", "-w", "--no-textconv", *ranges, commit, "--", path)
    names: dict[str, str] = {}
    boundaries: set[str] = set()
    found: list[_Blamed] = []
    sha = ""
    for line in asking.ask(*options).decode("utf-8", "replace").split("\n"):
        if match := _HASH.match(line):
            sha = match[1]
        elif line.startswith("filename "):
            names[sha] = line.removeprefix("filename ")
        elif line == "boundary":
            boundaries.add(sha)
        elif line.startswith("\t"):
            found.append(_Blamed(sha, names.get(sha, path), line[1:]))
    return [one for one in found if not (one.sha in boundaries and _cut_off(asking, one.sha))]


def _cut_off(asking: Asking, sha: str) -> bool:
    """Whether a commit's parents are missing, as in a shallow clone: it may not have written it."""
    return b"\nparent " in asking.ask("cat-file", "commit", sha).split(b"\n\n", 1)[0]


def _commit_named(asking: Asking, name: str) -> str:
    """The full SHA of a commit that a message names; empty when there is none."""
    if not name:
        return ""
    try:
        told = asking.ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    except OutOfTimeError:
        raise
    except RepositoryError:
        return ""
    return told.decode("ascii", "replace").strip()


def _runs(lines: list[int]) -> Iterator[tuple[int, int]]:
    """Neighbouring numbers as first and last."""
    first = last = 0
    for line in lines:
        if line != last + 1:
            if last:
                yield first, last
            first = line
        last = line
    if last:
        yield first, last
