"""A commit as an episode, and as what the journal stores."""

import time
from dataclasses import replace

from evo_agent.memory.history.gitlog import Commit
from evo_agent.memory.history.messages import intent, is_test, keywords, references, undone
from evo_agent.memory.journal.bodies import Episode, FileChange, Hunk, Kind
from evo_agent.memory.journal.records import (
    LONGEST_DIFF,
    LONGEST_TEXT,
    AsOf,
    Record,
    Scope,
    Trust,
    bounded,
)
from evo_agent.memory.journal.redact import redact, redact_name

MOST_FILES = 200  # files of a commit that are stored
_FEW_FILES = 20  # of one that would otherwise be too large


def commit_record(commit: Commit, repo: str) -> Record:
    """A commit as an episode, knowable from the commit on, in its own repository only.

    Every text of it is redacted once, here; what is read off a text is read off the clean one.
    """
    message = redact(bounded(commit.message, LONGEST_TEXT)).strip()
    title = bounded(message.partition("\n")[0].strip(), 300)
    files = tuple(_clean(file) for file in commit.files)
    paths = [file.path for file in files]
    episode = Episode(
        origin="commit",
        title=title or f"(no message) {commit.sha[:12]}",
        base=commit.parents[0] if commit.parents else "",
        sha=commit.sha,
        parents=commit.parents,
        authored=commit.authored,
        problem=message,
        intent=intent(title, paths),
        keywords=keywords(message),
        references=references(message),
        reverts=undone(message),
        files=files[:MOST_FILES],
        hunks=tuple(_clean_hunk(hunk) for hunk in commit.hunks),
        tests_changed=tuple(path for path in paths if is_test(path))[:MOST_FILES],
        diff=redact(bounded(commit.patch, LONGEST_DIFF)),
    )
    return Record(
        kind=Kind.EPISODE,
        repo=repo,
        scope=Scope.REPO,
        body=episode,
        as_of=AsOf(commit.sha, float(commit.authored)),
        created=time.time(),
        source_ids=(commit.sha,),
        trust=Trust.UNTRUSTED,  # anybody may have written it; what a message says is data
        tags=("commit",),
    )


def slim(commit: Commit) -> Commit:
    """A commit without its hunks and most of its files: small enough, whatever their names."""
    size = sum(len(file.path) + len(file.old) for file in commit.files[_FEW_FILES:])
    return replace(commit, files=commit.files[:_FEW_FILES], hunks=(), cut=commit.cut + size)


def traits(commit: Commit) -> dict[str, int]:
    """What a learn counts of a commit: names as in history.LearnReport, and how many."""
    return {
        "empty": int(not commit.message),
        "cut": int(bool(commit.cut) or len(commit.patch) > LONGEST_DIFF),
        "dropped": commit.cut,
        "binary": int(any(file.binary for file in commit.files)),
        "submodules": int(any(file.submodule for file in commit.files)),
        "renames": int(any(file.status == "R" for file in commit.files)),
        "undecodable": int(commit.undecodable),
    }


def _clean(file: FileChange) -> FileChange:
    path, old = redact_name(file.path), redact_name(file.old)
    return FileChange(path, file.status, old, file.binary, file.submodule)


def _clean_hunk(hunk: Hunk) -> Hunk:
    before, after = (hunk.old_start, hunk.old_lines), (hunk.new_start, hunk.new_lines)
    return Hunk(redact_name(hunk.path), *before, *after, redact_name(hunk.section))
