"""What lies before a commit: git says, in the work tree that was learnt from.

Its answers are kept in arrays below the index (memory.recall.graph): asking git again costs a third of a
second for fifty thousand commits, walking the arrays some milliseconds.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from evo_agent.core.errors import RepositoryError
from evo_agent.core.git import Repository, open_repository
from evo_agent.memory.history.gitlog import ancestors
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.recall.columns import Snapshot, locked, sha_rows
from evo_agent.memory.recall.graph import CommitGraph, extended, kept, opened
from evo_agent.memory.recall.postings import Array

_MOST_BASES = 64  # masks of that many bases are kept


class Past:
    """Ancestors of commits, by repository identity; each asked once.

    Args:
        journal: remembers where repositories lie on this machine.
        folder: where graphs are kept.
        say: told, in one line, when a repository cannot be asked; then no commit answers.
    """

    def __init__(self, journal: Journal, folder: Path, say: Callable[[str], None]) -> None:
        self._journal = journal
        self._folder = folder
        self._say = say
        self._repositories: dict[str, Repository] = {}
        self._known: dict[tuple[str, str], frozenset[str]] = {}
        self._graphs: dict[str, CommitGraph] = {}
        self._masks: dict[str, tuple[CommitGraph, dict[int, Array]]] = {}
        self._placed: dict[str, tuple[Snapshot, CommitGraph, Array]] = {}

    def attach(self, repository: Repository) -> None:
        """Remember where a repository lies."""
        self._repositories[repository.identity] = repository
        self._journal.remember(f"root:{repository.identity}", str(repository.root))

    def at(self, root: Path) -> Repository | None:
        """The repository of a work tree, when it is attached: to open one again takes a while."""
        found = (one for one in self._repositories.values() if one.root == root.resolve())
        return next(found, None)

    def of(self, repo: str, base: str) -> frozenset[str]:
        """SHAs of the proper ancestors of a commit; empty when nobody knows them."""
        if (repo, base) not in self._known:
            repository = self.repository(repo)
            if repository is None:
                return frozenset()
            found = ancestors(repository, base)
            if not found:
                self._unknown(base)
            self._known[(repo, base)] = found
        return self._known[(repo, base)]

    def mask(self, snapshot: Snapshot, repo: str, base: str) -> Array:
        """Which rows of a snapshot are commits before a base, as (n,) bool.

        The rows' own repository is not looked at: all that counts is whose ancestor a SHA is.
        """
        import numpy as np

        graph = self._graph(repo, base)
        if graph is None:
            return np.zeros(len(snapshot), np.bool_)
        return self._mask(graph, repo, base)[self._rows(snapshot, repo, graph)]

    def precedes(self, repo: str, base: str, sha: str) -> bool:
        """Whether one commit is a proper ancestor of another."""
        graph = self._graphs.get(repo)  # there is one when `mask` was asked
        if graph is None:
            return sha in self.of(repo, base)
        return bool(self._mask(graph, repo, base)[graph.find(sha_rows([sha]))][0])

    def _mask(self, graph: CommitGraph, repo: str, base: str) -> Array:
        """See CommitGraph.ancestors."""
        of, masks = self._masks.get(repo, (graph, {}))
        if of is not graph:
            masks = {}
        commit = int(graph.find(sha_rows([base]))[0])
        if commit not in masks:
            masks[commit] = graph.ancestors(commit, masks)
            if len(masks) > _MOST_BASES:
                del masks[next(iter(masks))]
        self._masks[repo] = (graph, masks)
        return masks[commit]

    def warm(self, repo: str, head: str) -> None:
        """Ask git now, so that no query has to."""
        self._graph(repo, head)

    def _rows(self, snapshot: Snapshot, repo: str, graph: CommitGraph) -> Array:
        """Index in the graph of every row's commit, -1 for none."""
        placed = self._placed.get(repo)
        if placed is None or placed[0] is not snapshot or placed[1] is not graph:
            placed = (snapshot, graph, graph.find(snapshot.rows["sha"]))
            self._placed[repo] = placed
        return placed[2]

    def _graph(self, repo: str, base: str) -> CommitGraph | None:
        """The graph of a repository with a commit in it; None when nobody knows the commit."""
        path = self._folder / f"{hashlib.sha256(repo.encode()).hexdigest()[:32]}.bin"
        graph = self._graphs.get(repo)
        if graph is None:
            graph = opened(path)
        if int(graph.find(sha_rows([base]))[0]) < 0:
            repository = self.repository(repo)
            grown = extended(graph, repository, base) if repository is not None else None
            if grown is None:
                if repository is not None:
                    self._unknown(base)
                return None
            graph = grown
            self._keep(repository, path, graph)
        self._graphs[repo] = graph
        return graph

    def _keep(self, repository: Repository | None, path: Path, graph: CommitGraph) -> None:
        if repository is None or repository.shallow:
            return
        try:
            with locked(self._folder):
                kept(graph, path)
        except OSError as error:
            self._say(f"{path.parent} cannot be written ({error.strerror}): recall is slower")

    def _unknown(self, base: str) -> None:
        self._say(f"commit {base[:12]} has no known ancestors: no commit answers")

    def repository(self, repo: str) -> Repository | None:
        """Where a repository is on this machine; None when it is gone, which is said."""
        if repo in self._repositories:
            return self._repositories[repo]
        root = self._journal.remembered(f"root:{repo}")
        if not root:
            return None
        try:
            found = open_repository(Path(root))
        except RepositoryError as error:
            self._say(f"commits are left out: {error.cause}")
            return None
        if found.identity != repo:
            self._say(f"commits are left out: {root} is another repository now")
            return None
        self._repositories[repo] = found
        return found
