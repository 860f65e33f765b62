"""Fix commits of a repository as questions, each with its memory: what was there before it.

The query is the message without the solution: its first line and first paragraph, without
trailers, reverts, hashes, issue numbers, addresses, paths, code, and without identifiers that the
parent's tree does not know (the fix invented them). The memory are proper ancestors only, at most
MEMORY of them, never one that names the same issue.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from history_source import Source, Tree, parse

from evo_agent.core.errors import RepositoryError
from evo_agent.core.git import Repository, git_command, git_environment
from evo_agent.memory.history.commits import commit_record
from evo_agent.memory.history.gitlog import Commit, read_commits
from evo_agent.memory.history.messages import is_test, references
from evo_agent.memory.journal.bodies import Episode
from evo_agent.memory.journal.words import terms
from evo_agent.memory.kinship.precedents import Precedent, precedent, renamed
from evo_agent.memory.kinship.shapes import touched

LOADED, WINDOW, MEMORY = 7_500, 2_500, 5_000  # commits read; asked about; remembered
MOST_FILES = 10  # a fix of more sources is a sweep
LONGEST_BODY = 400
_TRAILER = re.compile(
    r"^\s*(this reverts|co-authored|signed-off|reviewed|acked|cc:|git-svn|\(cherry picked|conflicts:)",
    re.IGNORECASE,
)
_GONE = re.compile(
    r"https?://\S+|\b[0-9a-f]{7,64}\b|`[^`\n]*[(=/\n][^`]*`|[\w.-]*(?:/[\w.-]+)+|\b[\w-]+\.(?:py|rst|txt|c|pyx)\b"
    r"|\b(?:GH|gh)-?\d+|#\d+|\[[^\]]{0,20}\]"
)
_IDENTIFIER = re.compile(r"\w*_\w+|\w*[a-z][A-Z]\w*|\w+(?=\()")
_CHANGED = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """A fix, the question that it answers, and the truth."""

    repo: str
    sha: str
    title: str
    body: str
    files: tuple[str, ...]
    functions: tuple[tuple[str, str], ...]  # path, qualified name at the parent
    touched: tuple[tuple[str, str], ...]  # path, plain name, as history has it
    tests: tuple[str, ...]
    shape: tuple[str, ...]


@dataclass(frozen=True)
class Memory:
    """What was there before a case, oldest first, and of each the words of its diff."""

    precedents: tuple[Precedent, ...]
    diffs: tuple[frozenset[str], ...]


class Project:
    """A repository: its commits as precedents, its sources by blob."""

    def __init__(self, name: str, repository: Repository, loaded: int) -> None:
        self.name = name
        self._repository = repository
        self._sources: dict[str, Source] = {}
        self.sources, self.tests = Tree(), Tree()
        self._parents = _parents(repository)
        own = [sha for sha, above in self._parents.items() if len(above) == 1][:loaded]
        self.order = own[::-1]  # oldest first
        self._read(_readable(git_command(repository), self.order))

    def _read(self, commits: Iterator[Commit]) -> None:
        self.commits: dict[str, Episode] = {}
        self.precedents: dict[str, Precedent] = {}
        self.diffs: dict[str, frozenset[str]] = {}
        self.patches: dict[str, str] = {}
        newest = set(self.order[-WINDOW:])
        for commit in commits:
            body = commit_record(commit, "bench").body
            assert isinstance(body, Episode)
            self.precedents[commit.sha] = precedent(body)
            words = terms(body.diff[:6000])
            self.diffs[commit.sha] = frozenset(words)
            if commit.sha in newest and self.precedents[commit.sha].intent == "fix":
                self.commits[commit.sha] = body
                self.patches[commit.sha] = commit.patch

    def asked(self, count: int) -> list[str]:
        """Fix commits of the newest, spread evenly, oldest first."""
        window = self.order[-min(WINDOW, len(self.order) // 2) :]
        fixes = [sha for sha in window if sha in self.commits and self._fits(sha)]
        step = max(1.0, len(fixes) / count)
        return [fixes[int(i * step)] for i in range(min(count, len(fixes)))]

    def _fits(self, sha: str) -> bool:
        changed = [f for f in self.commits[sha].files if _is_source(f.path) and f.status == "M"]
        return 1 <= len(changed) <= MOST_FILES and len(self.patches[sha]) < 200_000

    def case(self, sha: str) -> Case | None:
        """The question; the trees stand at the parent afterwards."""
        episode = self.commits[sha]
        entries = self._tree(episode.base)
        self._load([blob for path, blob in entries.items() if path.endswith(".py")])
        known = {p: self._sources[b] for p, b in entries.items() if b in self._sources}
        self.sources.move({p: s for p, s in known.items() if _is_source(p)})
        self.tests.move({p: s for p, s in known.items() if is_test(p)})
        title, body = _query(episode.problem, self.sources, self.tests)
        if len(set(terms(title))) < 3:
            return None
        modified = [f.path for f in episode.files if f.status == "M"]
        patch = self.patches[sha]
        seen = touched(patch)
        functions = dict.fromkeys(
            (path, name)
            for path, line in _old_lines(patch)
            if path in self.sources.files and (name := self.sources.files[path].around(line))
        )
        return Case(
            repo=self.name,
            sha=sha,
            title=title,
            body=body,
            files=tuple(p for p in modified if p in self.sources.files),
            functions=tuple(functions),
            touched=tuple(f for f in seen.functions if f[0] in self.sources.files),
            tests=tuple(p for p in modified if p in self.tests.files),
            shape=seen.shape,
        )

    def memory(self, sha: str) -> Memory:
        """Proper ancestors, paths under the names that they have at the case's parent."""
        before = self._ancestors(sha)
        issues = set(references(self.commits[sha].problem))
        kept = [
            one
            for one in self.order
            if one in before and one in self.precedents and not issues & self._issues(one)
        ][-MEMORY:]
        found = renamed([self.precedents[one] for one in kept])
        return Memory(found, tuple(self.diffs[one] for one in kept))

    def _issues(self, sha: str) -> set[str]:
        episode = self.commits.get(sha)
        return set(references(episode.problem if episode else self.precedents[sha].title))

    def _ancestors(self, sha: str) -> set[str]:
        seen, left = set(), list(self._parents[sha])
        while left:
            one = left.pop()
            if one not in seen:
                seen.add(one)
                left += self._parents.get(one, ())
        return seen

    def _tree(self, commit: str) -> dict[str, str]:
        listed = _git(self._repository, "ls-tree", "-r", "-z", commit)
        entries = {}
        for row in listed.decode("utf-8", "replace").split("\0"):
            head, _, path = row.partition("\t")
            if path.endswith(".py") and head.startswith("100"):
                entries[path] = head.split()[2]
        return entries

    def _load(self, blobs: Sequence[str]) -> None:
        missing = [blob for blob in dict.fromkeys(blobs) if blob not in self._sources]
        if not missing:
            return
        data = _git(self._repository, "cat-file", "--batch", stdin="\n".join(missing) + "\n")
        at = 0
        while at < len(data):
            end = data.index(b"\n", at)
            blob, _, size = data[at:end].split()
            body = data[end + 1 : end + 1 + int(size)]
            self._sources[blob.decode()] = parse(body)
            at = end + 2 + int(size)


def _is_source(path: str) -> bool:
    return path.endswith(".py") and not is_test(path) and "conftest" not in path


def _query(message: str, *trees: Tree) -> tuple[str, str]:
    title, _, rest = message.partition("\n")
    lines = []
    for line in rest.strip().split("\n"):
        if not line.strip() and lines:
            break
        if line.strip() and not _TRAILER.match(line) and not line.startswith(("    ", "\t", ">>>")):
            lines.append(line)
    return _stripped(title, trees), _stripped(" ".join(lines)[:LONGEST_BODY], trees)


def _stripped(text: str, trees: Sequence[Tree]) -> str:
    if _TRAILER.match(text):
        return ""

    def known(found: re.Match[str]) -> str:
        words = terms(found[0])[:1]
        return found[0] if any(tree.holding.get(w, 0) > 0 for tree in trees for w in words) else " "

    return _IDENTIFIER.sub(known, _GONE.sub(" ", text)).strip()


def _old_lines(patch: str) -> Iterator[tuple[str, int]]:
    """(path, line before) of every removed line, and of the line that an added one follows."""
    path, old, inside = "", 0, False
    for line in patch.split("\n"):
        if line.startswith("diff --git "):
            inside = False
        elif line.startswith("--- a/") and not inside:
            path = line[6:].split("\t")[0]
        elif found := _CHANGED.match(line):
            old, inside = int(found[1]), True
        elif inside and line[:1] == "-":
            yield path, old
            old += 1
        elif inside and line[:1] == "+" and line[1:].strip():
            yield path, max(1, old - 1)
        elif inside and line[:1] == " ":
            old += 1


def _readable(git: Sequence[str], shas: Sequence[str]) -> Iterator[Commit]:
    """Commits, without those that touch an object that a partial mirror does not have."""
    done = 0
    while done < len(shas):
        try:
            for commit in read_commits(git, shas[done:]):
                done += 1
                yield commit
        except RepositoryError:
            done += 1


def _parents(repository: Repository) -> Mapping[str, list[str]]:
    listed = _git(repository, "rev-list", "--parents", "--topo-order", "HEAD").decode()
    return {sha: above for sha, *above in (line.split() for line in listed.splitlines())}


def _git(repository: Repository, *arguments: str, stdin: str = "") -> bytes:
    done = subprocess.run(
        git_command(repository, *arguments),
        env=git_environment(),
        input=stdin.encode(),
        capture_output=True,
        check=True,
        cwd=Path(tempfile.gettempdir()),
    )
    return done.stdout
