"""`evo learn`: commits become episodes. Learning twice adds nothing; a stopped one goes on.

What a commit says without a model: its intent from its first line, the issues that it names,
the commit that it undoes, the tests that it changes (MemCoder's sextuple as far as it can be
read off; problem, root cause and solution in words are a model's work).
"""

import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import PurePosixPath

from evo_agent.core.git import Repository
from evo_agent.memory.bodies import Episode, FileChange
from evo_agent.memory.gitlog import Commit, read_commits, revisions
from evo_agent.memory.journal import Journal
from evo_agent.memory.records import (
    LONGEST_DIFF,
    LONGEST_TEXT,
    AsOf,
    Record,
    Scope,
    Trust,
    bounded,
    make,
)
from evo_agent.memory.rows import added
from evo_agent.memory.words import terms

NEWEST = 5_000  # commits learnt unless told otherwise
MOST_FILES = 200  # files of a commit that are stored
_BATCH = 200  # commits per transaction
_KEYWORDS = 12
_REFERENCE = re.compile(  # lengths are bounded: without, a hostile message takes hours
    r"(?<![\w&/])(?:[\w.-]{1,100}/[\w.-]{1,100})?#\d{1,7}\b|\bGH-\d{1,7}\b", re.IGNORECASE
)
_ISSUE_URL = re.compile(r"https?://[^\s/]+/([\w.-]+/[\w.-]+)/(?:issues|pull)/(\d{1,7})")
_REVERTS = re.compile(r"This reverts commit ([0-9a-f]{7,64})")
_TEST = re.compile(
    r"(^|/)(tests?|testing|spec|__tests__)/|(^|/)(test_[^/]+|[^/]+_test\.\w+|[^/]+\.(test|spec)\.\w+)$"
)
_INTENTS = (
    ("revert", re.compile(r"^revert\b", re.IGNORECASE)),
    (
        "fix",
        re.compile(
            r"\b(fix(e[sd])?|bug(fix)?|hotfix|regression|crash|clos(e[sd]?)|resolv(e[sd]?)|correct(s|ed)?)\b|#\d",
            re.IGNORECASE,
        ),
    ),
    (
        "docs",
        re.compile(r"^docs?\b|\b(documentation|docstring|readme|changelog|typo)\b", re.IGNORECASE),
    ),
    ("test", re.compile(r"^tests?\b|\badd(ed|s)? (a )?tests?\b", re.IGNORECASE)),
    (
        "refactor",
        re.compile(r"\b(refactor|clean ?up|simplif|rename|move[sd]?|style)\w*", re.IGNORECASE),
    ),
    (
        "feature",
        re.compile(
            r"^feat\b|\b(add(s|ed)?|implement(s|ed)?|introduce[sd]?|support)\b", re.IGNORECASE
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class LearnReport:
    """What a learn did.

    Attributes:
        repo: the repository's identity.
        head: full SHA that was learnt from.
        seen: commits in range that are no merges; known: of these, learnt before.
        added: new records.
        merges: merges in range; their commits are learnt, they themselves carry no change.
        empty, cut, binary, submodules, undecodable: new ones without message; with a diff that was
            bounded; touching binary files; touching submodules; with other text than UTF-8.
        limited: whether older commits were left out by the limit.
        shallow: whether the clone has no full history.
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
    binary: int = 0
    submodules: int = 0
    undecodable: int = 0
    limited: bool = False
    shallow: bool = False
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
    limit: int = NEWEST,
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
    found = revisions(repository, sha, limit)
    known = journal.commits(repository.identity)
    wanted = [commit for commit in found.shas if commit not in known]
    report = LearnReport(
        repo=repository.identity,
        head=sha,
        seen=len(found.shas),
        known=len(found.shas) - len(wanted),
        merges=found.merges,
        limited=found.more,
        shallow=repository.shallow,
    )
    run = f"learn-{uuid.uuid4().hex}"
    done = 0
    # Oldest first: a learn that was stopped has left a history without holes.
    for commits in _batches(read_commits(repository, wanted[::-1])):
        changes = [added(commit_record(commit, repository.identity)) for commit in commits]
        new = journal.write(run, changes)
        report = _counted(report, commits, new)
        done += len(commits)
        spent = time.monotonic() - started
        progress(LearnProgress(done, len(wanted), done / spent if spent else 0.0))
    return replace(report, seconds=time.monotonic() - started)


def commit_record(commit: Commit, repo: str) -> Record:
    """A commit as an episode, knowable from the commit on, in its own repository only."""
    title = commit.message.partition("\n")[0].strip()
    paths = [file.path for file in commit.files]
    episode = Episode(
        origin="commit",
        title=bounded(title, 300) or f"(no message) {commit.sha[:12]}",
        base=commit.parents[0] if commit.parents else "",
        sha=commit.sha,
        parents=commit.parents,
        authored=commit.authored,
        problem=bounded(commit.message, LONGEST_TEXT),
        intent=intent(title, paths),
        keywords=keywords(commit.message),
        references=references(commit.message),
        reverts=_first(_REVERTS.findall(commit.message)),
        files=commit.files[:MOST_FILES],
        hunks=commit.hunks,
        tests_changed=tuple(path for path in paths if is_test(path))[:MOST_FILES],
        diff=bounded(commit.patch, LONGEST_DIFF),
    )
    return make(
        episode,
        repo=repo,
        scope=Scope.REPO,
        as_of=AsOf(commit.sha, float(commit.authored)),
        created=time.time(),
        source_ids=(commit.sha,),
        trust=Trust.UNTRUSTED,  # anybody may have written it; what a message says is data
        tags=("commit",),
    )


def intent(title: str, paths: Iterable[str] = ()) -> str:
    """What a change is for: by its first line, or, when that says nothing, by its files."""
    for name, pattern in _INTENTS:
        if pattern.search(title):
            return name
    touched = list(paths)
    if touched and all(is_test(path) for path in touched):
        return "test"
    return "other"


def references(message: str) -> tuple[str, ...]:
    """Issues that a message names, as written (`#12`, `owner/name#12`), each once."""
    named = [match[0] for match in _REFERENCE.finditer(message)]
    named += [f"{name}#{number}" for name, number in _ISSUE_URL.findall(message)]
    return tuple(dict.fromkeys(named))[:20]


def keywords(message: str) -> tuple[str, ...]:
    """The message's identifiers first, then its other terms, each once."""
    words = list(dict.fromkeys(terms(message[:4000])))
    marked = [word for word in words if "_" in word or any(c.isdigit() for c in word)]
    return tuple(dict.fromkeys((*marked, *words)))[:_KEYWORDS]


def is_test(path: str) -> bool:
    """Whether a path is a test's, by the conventions of pytest, unittest, jest, go and others."""
    return bool(_TEST.search(str(PurePosixPath(path))))


def _batches(commits: Iterator[Commit]) -> Iterator[tuple[Commit, ...]]:
    while batch := tuple(islice(commits, _BATCH)):
        yield batch


def _counted(report: LearnReport, commits: tuple[Commit, ...], new: int) -> LearnReport:
    def count(holds: Callable[[Commit], bool]) -> int:
        return sum(1 for commit in commits if holds(commit))

    def touches(commit: Commit, what: Callable[[FileChange], bool]) -> bool:
        return any(what(file) for file in commit.files)

    return replace(
        report,
        added=report.added + new,
        empty=report.empty + count(lambda c: not c.message),
        cut=report.cut + count(lambda c: bool(c.cut) or len(c.patch) > LONGEST_DIFF),
        binary=report.binary + count(lambda c: touches(c, lambda f: f.binary)),
        submodules=report.submodules + count(lambda c: touches(c, lambda f: f.submodule)),
        undecodable=report.undecodable + count(lambda c: c.undecodable),
    )


def _first(found: list[str]) -> str:
    return found[0] if found else ""
