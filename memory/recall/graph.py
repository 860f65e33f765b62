"""The commits of a repository and their parents, in arrays, so that git is asked once.

A commit's name says what its parents are, so what is known stays true; a commit that is not known
is asked for with all that lies before it. A shallow clone's history may grow at its end: that is
never kept on the disk.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush
from pathlib import Path
from types import MappingProxyType
from typing import Any

from evo_agent.core.git import GitError, Repository
from evo_agent.memory.recall.arrays import load, save
from evo_agent.memory.recall.columns import SHA_BYTES, sha_rows
from evo_agent.memory.recall.postings import Array

_FAR = 4_000  # steps, beyond which going through all commits in order is faster
_NOTHING: Mapping[int, Array] = MappingProxyType({})
_MOST_TIPS = 2_000  # known ends of history that git is told to leave out
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True)
class CommitGraph:
    """Commits in an order that has parents first; with a commit all its ancestors are there.

    Attributes:
        sha: (n, 20) uint8, names of the commits; of SHA-256 the first 20 bytes.
        start: (n + 1,) int32: where a commit's parents begin in `parent`.
        parent: (p,) int32.
    """

    sha: Array
    start: Array
    parent: Array

    def find(self, shas: Array) -> Array:
        """Index of each of some commits, given as (k, 20) uint8; -1 for one that is not there."""
        import numpy as np

        if not len(self.sha):
            return np.full(len(shas), -1)
        order, prefixes = self._sorted
        at = np.minimum(np.searchsorted(prefixes, _prefix(shas)), len(order) - 1)
        found = order[at]
        return np.where((self.sha[found] == shas).all(axis=1), found, -1)

    def ancestors(self, commit: int, known: Mapping[int, Array] = _NOTHING) -> Array:
        """Which commits are proper ancestors of one: (n + 1,) bool, the last, for -1, False.

        Args:
            commit: its index.
            known: what this said of other commits; those among the ancestors save their walk.
        """
        import numpy as np

        first, more = self._parents
        none = len(first)
        seen = self._near(commit, known) if known else None
        if seen is None:
            seen = bytearray(none + 1)
            seen[commit] = 1
            for at in range(commit, -1, -1):  # parents come first: downwards, each is decided
                if seen[at]:
                    seen[first[at]] = 1
                    if at in more:
                        for parent in more[at]:
                            seen[parent] = 1
        seen[commit] = seen[none] = 0
        return np.frombuffer(seen, np.bool_)

    def _near(self, commit: int, known: Mapping[int, Array]) -> bytearray | None:
        """The walk from the newest on, as far as what is known; None when that is too far."""
        import numpy as np

        first, more = self._parents
        seen = bytearray(len(first) + 1)
        view = np.frombuffer(seen, np.bool_)
        todo = [-commit]
        for _ in range(_FAR):
            if not todo:
                return seen
            at = -heappop(todo)
            if seen[at] or at == len(first):
                continue
            seen[at] = 1
            if at in known:
                view |= known[at]
            else:
                for parent in (first[at], *more.get(at, ())):
                    heappush(todo, -parent)
        return None

    def names(self, chosen: Array) -> list[str]:
        """Names, in hexadecimal, of the commits of a mask as `ancestors` gives it."""
        return [row.tobytes().hex() for row in self.sha[chosen[:-1]]]

    @cached_property
    def tips(self) -> list[str]:
        """Commits that are nobody's parent, newest first, a bounded number of them."""
        import numpy as np

        ends = np.ones(len(self.sha) + 1, np.bool_)
        ends[self.parent] = False
        ends[-1] = False
        return self.names(ends)[::-1][:_MOST_TIPS]

    @cached_property
    def _sorted(self) -> tuple[Array, Array]:
        import numpy as np

        prefixes = _prefix(self.sha)
        order = np.argsort(prefixes)
        return order, prefixes[order]

    @cached_property
    def _parents(self) -> tuple[list[int], dict[int, list[int]]]:
        """First parent of each commit (n for none), and the others of merges."""
        import numpy as np

        count = np.diff(self.start)
        first = np.full(len(self.sha), len(self.sha), np.int32)
        some = count > 0
        first[some] = self.parent[self.start[:-1][some]]
        merges = np.flatnonzero(count > 1)
        more = {int(m): self.parent[self.start[m] + 1 : self.start[m + 1]].tolist() for m in merges}
        return first.tolist(), more


def empty() -> CommitGraph:
    """No commits."""
    import numpy as np

    return CommitGraph(
        np.zeros((0, SHA_BYTES), np.uint8), np.zeros(1, np.int32), np.zeros(0, np.int32)
    )


def extended(graph: CommitGraph, repository: Repository, base: str) -> CommitGraph | None:
    """The graph with a commit and all its ancestors; None when git does not know it."""
    if not _SHA.fullmatch(base):
        return None
    try:
        lines = _listed(repository, base, graph.tips)
    except GitError:  # a known end of history may be gone from the repository
        try:
            lines, graph = _listed(repository, base, ()), empty()
        except GitError:
            return None
    return _with(graph, lines)


def opened(path: Path) -> CommitGraph:
    """A graph from its file; empty when there is none, or it is damaged."""
    found = load(path)
    try:
        return CommitGraph(**found.named) if found else empty()
    except TypeError:  # of another version
        return empty()


def kept(graph: CommitGraph, path: Path) -> None:
    """Write a graph to its file.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    save(path, {}, {"sha": graph.sha, "start": graph.start, "parent": graph.parent})


def _listed(repository: Repository, base: str, without: Sequence[str]) -> list[list[str]]:
    """Commits from the oldest on, each with its parents."""
    out = "".join(f"^{sha}\n" for sha in without if len(sha) == len(base))
    flags = ("--parents", "--topo-order", "--reverse", "--stdin")
    text = repository.view.text("rev-list", *flags, stdin=f"{base}\n{out}".encode())
    return [line.split() for line in text.splitlines()]


def _with(graph: CommitGraph, lines: list[list[str]]) -> CommitGraph:
    import numpy as np

    parents = [parent for _, *more in lines for parent in more]
    shas = np.concatenate([graph.sha, sha_rows([line[0] for line in lines])])
    start = np.cumsum([0, *(len(line) - 1 for line in lines)]) + graph.start[-1]
    grown = CommitGraph(shas, np.r_[graph.start[:-1], start].astype(np.int32), graph.parent)
    found = grown.find(sha_rows(parents)).astype(np.int32)
    before = np.repeat(np.arange(len(graph.sha), len(shas)), [len(line) - 1 for line in lines])
    sound = (found >= 0) & (found < before)  # anything else would make ancestors of descendants
    if not sound.all():
        raise ValueError("git listed a commit before its parents")
    return CommitGraph(grown.sha, grown.start, np.r_[graph.parent, found].astype(np.int32))


def _prefix(shas: Array) -> Any:
    return shas[:, :8].copy().view(">u8")[:, 0].astype("u8")
