"""What lies before a commit: git says, in the work tree that was learnt from."""

from collections.abc import Callable
from pathlib import Path

from evo_agent.core.errors import RepositoryError
from evo_agent.core.git import Repository, open_repository
from evo_agent.memory.gitlog import ancestors
from evo_agent.memory.journal import Journal


class Past:
    """Ancestors of commits, by repository identity; each asked once.

    Args:
        journal: remembers where repositories lie on this machine.
        say: told, in one line, when a repository cannot be asked; then no commit answers.
    """

    def __init__(self, journal: Journal, say: Callable[[str], None]) -> None:
        self._journal = journal
        self._say = say
        self._repositories: dict[str, Repository] = {}
        self._known: dict[tuple[str, str], frozenset[str]] = {}

    def attach(self, repository: Repository) -> None:
        """Remember where a repository lies."""
        self._repositories[repository.identity] = repository
        self._journal.remember(f"root:{repository.identity}", str(repository.root))

    def of(self, repo: str, base: str) -> frozenset[str]:
        """SHAs of the proper ancestors of a commit; empty when nobody knows them."""
        if (repo, base) not in self._known:
            repository = self._repository(repo)
            if repository is None:
                return frozenset()
            found = ancestors(repository, base)
            if not found:
                self._say(f"commit {base[:12]} has no known ancestors: no commit answers")
            self._known[(repo, base)] = found
        return self._known[(repo, base)]

    def _repository(self, repo: str) -> Repository | None:
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
