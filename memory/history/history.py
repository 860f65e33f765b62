"""`evo learn`: commits become episodes. Learning twice adds nothing; a stopped one goes on.

What a commit says without a model is read off (memory.history.messages); problem, root cause and
solution in words are a model's work (memory.history.sextuple).
"""

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

from evo_agent.core.errors import RepositoryError
from evo_agent.core.git import Repository, git_command
from evo_agent.memory.history.gitlog import Revisions, revisions
from evo_agent.memory.history.messages import intent, is_test, keywords, references
from evo_agent.memory.history.mining import Chunk, mined
from evo_agent.memory.journal.journal import Journal

__all__ = ["LearnProgress", "LearnReport", "intent", "is_test", "keywords", "learn", "references"]

EVERYTHING = 10**9  # a limit that leaves out nothing
_WHOLE = "learnt:"  # with the repository's identity: what is remembered of a whole learn


@dataclass(frozen=True, slots=True)
class LearnReport:
    """What a learn did.

    Attributes:
        repo: the repository's identity.
        head: full SHA that was learnt from.
        seen: commits in range that are no merges; known: of these, learnt before.
        added: new records.
        merges: merges in range; their commits are learnt, they themselves carry no change.
        empty, cut, binary, submodules, renames, undecodable: new ones without message; with a diff
            that was bounded; touching binary files; touching submodules; moving files; with
            other text than UTF-8.
        dropped: bytes of diffs that were too large to be looked at.
        limited: whether older commits were left out by the limit.
        shallow: whether the clone has no full history; boundary: commits left out because their
            parents, and so their changes, are not there.
        seconds: wall time.
    """

    repo: str
    head: str
    seen: int = 0
    known: int = 0
    added: int = 0
    merges: int = 0
    empty: int = 0
    cut: int = 0
    dropped: int = 0
    binary: int = 0
    submodules: int = 0
    renames: int = 0
    undecodable: int = 0
    limited: bool = False
    shallow: bool = False
    boundary: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """New commits a second."""
        return self.added / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class LearnProgress:
    """Where a learn is: commits read of how many, and commits a second."""

    done: int
    total: int
    rate: float


def learn(
    journal: Journal,
    repository: Repository,
    *,
    head: str = "HEAD",
    limit: int = EVERYTHING,
    progress: Callable[[LearnProgress], None] = lambda _: None,
) -> LearnReport:
    """Store the newest commits that are not known yet, in transactions of a few hundred.

    Args:
        journal: where to.
        repository: what is read.
        head: a branch, tag or SHA; its ancestors are in range.
        limit: most commits in range, newest first.
        progress: called after every transaction.

    Raises:
        RepositoryError: `head` names no commit, or git failed.
        StoreError: the journal cannot be written; what was reported as done is stored.
    """
    started = time.monotonic()
    sha = repository.resolve(head)
    before, found = _found(journal, repository, sha, limit)
    known = journal.commits(repository.identity, found.shas)
    # Oldest first: a learn that was stopped has left a history without holes.
    wanted = [commit for commit in reversed(found.shas) if commit not in known]
    report = LearnReport(
        repo=repository.identity,
        head=sha,
        seen=before.seen + len(found.shas),
        known=before.seen + len(found.shas) - len(wanted),
        merges=before.merges + found.merges,
        limited=found.more,
        shallow=repository.shallow,
        boundary=found.boundary,
    )
    run = f"learn-{uuid.uuid4().hex}"
    done = 0
    for chunk in mined(git_command(repository), repository.identity, wanted):
        report = _counted(report, chunk, journal.add(run, chunk.rows))
        done += len(chunk.rows)
        spent = time.monotonic() - started
        progress(LearnProgress(done, len(wanted), done / spent if spent else 0.0))
    if not (found.more or repository.shallow):
        whole = f"{sha} {report.seen} {report.merges}"
        journal.remember(_WHOLE + repository.identity, whole)
    return replace(report, seconds=time.monotonic() - started)


class _Whole(NamedTuple):
    """A commit that is learnt with all its ancestors: how many they are, and merges among them."""

    sha: str = ""
    seen: int = 0
    merges: int = 0


def _found(
    journal: Journal, repository: Repository, head: str, limit: int
) -> tuple[_Whole, Revisions]:
    """What to look at: only what is new since the last whole learn, where there was one."""
    told = journal.remembered(_WHOLE + repository.identity).split()
    if told and not repository.shallow:
        whole = _Whole(told[0], int(told[1]), int(told[2]))
        with suppress(RepositoryError):  # another branch, or rewritten: all of it, then
            found = revisions(repository, head, limit, whole.sha)
            if whole.seen + len(found.shas) <= limit:
                return whole, found
    return _Whole(), revisions(repository, head, limit)


def _counted(report: LearnReport, chunk: Chunk, numbers: Sequence[int]) -> LearnReport:
    """Add up; each trait of a commit has the name of its field in the report."""
    sums = {name: getattr(report, name) + count for name, count in chunk.traits.items()}
    return replace(report, added=report.added + sum(map(bool, numbers)), **sums)
