"""What history says about files: which of them earlier commits like the issue changed.

Off by default: on single files it did not pay (bench/localise.py prints with, without, shuffled
and popularity). Only proper ancestors of the base are ever read.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evo_agent.core.git import Repository
from evo_agent.memory.code.lexemes import hashes
from evo_agent.memory.code.question import Question, words

if TYPE_CHECKING:
    from evo_agent.memory.code.corpus import Floats

NEWEST = 5_000  # commits before the base that are looked at
_NEAREST = 30  # commits whose files get a score
_MOST_FILES = 20  # of a commit; wider ones say little about each
_HALF_LIFE = 200.0  # commits until a change counts half (BugLocator's successors use days)
_K1 = 1.2


@dataclass(frozen=True, slots=True)
class Change:
    """A commit: message's terms, and the paths that it changed."""

    sha: str
    terms: Counter[int]
    paths: tuple[str, ...]


def changes(repository: Repository, base: str, limit: int = NEWEST) -> list[Change]:
    """The newest proper ancestors of a commit that are no merges, newest first.

    Raises:
        RepositoryError: there is no such commit.
    """
    listed = repository.view.run(
        *("log", "--no-merges", "--no-renames", "--name-only", "-z", f"-n{limit + 1}"),
        *("--format=%x00%x00%H%n%B%x00", base, "--"),
    )
    found = [_change(part) for part in listed.split(b"\0\0\0") if part.strip(b"\0\n")]
    return [change for change in found if change.sha != base][:limit]


def _change(data: bytes) -> Change:
    said, _, files = data.strip(b"\0\n").decode("utf-8", "replace").partition("\0")
    sha, _, message = said.partition("\n")
    terms = Counter(term for word in words(message[:4000]) for term in hashes(word))
    paths = tuple(path.strip("\n") for path in files.split("\0") if path.strip("\n"))
    return Change(sha, terms, paths)


def likeness(question: Question, past: Sequence[Change]) -> "Floats":
    """BM25 of each commit's message for the issue's title and, less, its text."""
    import numpy as np

    present = Counter(term for change in past for term in change.terms)
    total = len(past)
    query = {t: 2.0 * c for t, c in question.title.items()}
    for term in question.whole:
        query[term] = query.get(term, 0.0) + 0.5
    worth = {
        t: w * float(np.log(1 + (total - present[t] + 0.5) / (present[t] + 0.5)))
        for t, w in query.items()
    }
    return np.array([_score(change, worth) for change in past], float)


def _score(change: Change, worth: Mapping[int, float]) -> float:
    shared = worth.keys() & change.terms.keys()
    return sum(worth[t] * change.terms[t] / (change.terms[t] + _K1) for t in shared)


def history(paths: Sequence[str], past: Sequence[Change], like: "Floats") -> "Floats":
    """Files by the commits nearest to the issue that changed them."""
    import numpy as np

    place = {path: number for number, path in enumerate(paths)}
    score = np.zeros(len(paths))
    for number in np.argsort(-like, kind="stable")[:_NEAREST]:
        touched = [place[path] for path in past[number].paths if path in place]
        if touched and len(past[number].paths) <= _MOST_FILES:
            score[touched] += like[number] / len(touched)
    return score


def popularity(paths: Sequence[str], past: Sequence[Change]) -> "Floats":
    """Files by how many commits changed them."""
    counts = Counter(path for change in past for path in change.paths)
    import numpy as np

    return np.array([counts[path] for path in paths], np.float64)


def recency(paths: Sequence[str], past: Sequence[Change]) -> "Floats":
    """Files by their changes, recent ones more."""
    score: dict[str, float] = {}
    for age, change in enumerate(past):
        for path in change.paths:
            score[path] = score.get(path, 0.0) + 0.5 ** (age / _HALF_LIFE)
    import numpy as np

    return np.array([score.get(path, 0.0) for path in paths], np.float64)
