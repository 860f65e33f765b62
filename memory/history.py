"""`evo learn`: commits become episodes. Learning twice adds nothing; a stopped one goes on.

What a commit says without a model is read off (memory.messages); problem, root cause and
solution in words are a model's work (memory.sextuple).
"""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from evo_agent.core.git import Repository, git_command
from evo_agent.memory.bodies import Kind
from evo_agent.memory.gitlog import revisions
from evo_agent.memory.journal import Journal
from evo_agent.memory.messages import intent, is_test, keywords, references
from evo_agent.memory.mining import Chunk, mined
from evo_agent.memory.rows import Embedded

__all__ = ["LearnProgress", "LearnReport", "intent", "is_test", "keywords", "learn", "references"]

EVERYTHING = 10**9  # a limit that leaves out nothing


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
    embedder: str = "",
    stored: Callable[[Sequence[Embedded]], None] = lambda _: None,
    progress: Callable[[LearnProgress], None] = lambda _: None,
) -> LearnReport:
    """Store the newest commits that are not known yet, in transactions of a few hundred.

    Args:
        journal: where to.
        repository: what is read.
        head: a branch, tag or SHA; its ancestors are in range.
        limit: most commits in range, newest first.
        embedder: name of one that needs no service, to embed with on the way; or nothing.
        stored: called with what a transaction added, in order of number, after it.
        progress: called after every transaction.

    Raises:
        RepositoryError: `head` names no commit, or git failed.
        StoreError: the journal cannot be written; what was reported as done is stored.
    """
    started = time.monotonic()
    sha = repository.resolve(head)
    found = revisions(repository, sha, limit)
    known = journal.commits(repository.identity)
    # Oldest first: a learn that was stopped has left a history without holes.
    wanted = [commit for commit in reversed(found.shas) if commit not in known]
    report = LearnReport(
        repo=repository.identity,
        head=sha,
        seen=len(found.shas),
        known=len(found.shas) - len(wanted),
        merges=found.merges,
        limited=found.more,
        shallow=repository.shallow,
        boundary=found.boundary,
    )
    run = f"learn-{uuid.uuid4().hex}"
    done = 0
    for chunk in mined(git_command(repository), repository.identity, wanted, embedder):
        numbers = journal.add(run, [item.row for item in chunk.items])
        stored(_embedded(chunk, numbers, repository.identity))
        report = _counted(report, chunk, numbers)
        done += len(chunk.items)
        spent = time.monotonic() - started
        progress(LearnProgress(done, len(wanted), done / spent if spent else 0.0))
    return replace(report, seconds=time.monotonic() - started)


def _embedded(chunk: Chunk, numbers: Sequence[int], repo: str) -> list[Embedded]:
    """What of a chunk is new, as a dense index takes it."""
    return [
        Embedded(number, item.row.id, Kind.EPISODE.value, repo, item.title, item.vector)
        for number, item in zip(numbers, chunk.items, strict=True)
        if number
    ]


def _counted(report: LearnReport, chunk: Chunk, numbers: Sequence[int]) -> LearnReport:
    """Add up; each trait of a commit has the name of its field in the report."""
    sums = {name: getattr(report, name) + count for name, count in chunk.traits.items()}
    return replace(report, added=report.added + sum(map(bool, numbers)), **sums)
