"""Guardrails from history: what one commit did and another one took back.

A revert says so itself; a fix of a fix names the commit that it mends. What is guarded is the
part of the first commit's lines that the second one took out again, in the same file.
"""

import re
import uuid
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from evo_agent.core.guard import squeezed
from evo_agent.memory.guardrails.guardrails import (
    ACTING,
    entered,
    make_guardrail,
    predicate_of,
    rarity,
    trace,
    trips,
    went_well,
    witnesses,
)
from evo_agent.memory.guardrails.traces import edits
from evo_agent.memory.history.messages import is_test
from evo_agent.memory.history.patches import languages
from evo_agent.memory.journal.bodies import Episode, Kind
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import AsOf, Record, State
from evo_agent.memory.journal.rows import Change, Stored
from evo_agent.memory.journal.states import transition
from evo_agent.memory.journal.words import terms

MOST_FILES = 3  # of one regret, those with most lines taken back
_MOST_LINES = 10  # of a shape, the rarest
_COMMON = 300  # records; a line whose every term is in more says too little, and costs too much
_SHORTEST_LINE = 15  # characters; a shorter one says too little
_LONGEST_WHY = 300
_FEW = 500  # new records that are read without a search
_NEW_AT_ONCE = 5_000  # new commits that existing rules are held against
_SAID = "reverts regression introduced broke broken caused follow-up"  # find by full text
_WORD = re.compile(r"[A-Za-z_]{3,}")
_BLAMES = re.compile(  # bounded: a message is anybody's
    r"\b(?:regress(?:ion|ed)|introduced|broke|broken|caused|follow[- ]?up|fix(?:es|ed)?:?)\b"
    r"[^.\n]{0,60}?\b([0-9a-f]{7,40})\b",
    re.IGNORECASE,
)


def learn_regrets(journal: Journal, repo: str) -> int:
    """Mine the commits that are new since the last time; guardrails that they refute go.

    Args:
        journal: holds the commits.
        repo: the repository's identity.

    Returns:
        How many guardrails are new.

    Raises:
        StoreError: the journal cannot be written.
    """
    key = f"regrets:{repo}"
    epoch, last, _ = journal.generation()
    known, _, rest = journal.remembered(key).partition(" ")
    before, *undone = rest.split() if known == epoch else ("0",)
    since = int(before)
    if last <= since:
        return 0
    regretting = _regretting(journal, repo, since)
    undone += [sha for _, sha in regretting]
    run = f"regrets-{uuid.uuid4().hex}"
    changes = list(_refuted(journal, repo, since, undone, run)) if since else []
    commits = _Commits(journal, repo)
    for later, sha in regretting:
        changes += _mined(journal, commits.find(sha), later, undone, run)
    new = journal.write(run, changes) if changes else 0
    journal.remember(key, " ".join((epoch, str(last), *undone)))
    return new


def undone_lines(earlier: Episode, later: Episode) -> Mapping[str, tuple[str, ...]]:
    """Lines that one commit added and another one took out, by file; files of code, no tests."""
    put = {step.path: squeezed(step.added) for step in edits(earlier.diff)}
    found: dict[str, tuple[str, ...]] = {}
    for step in edits(later.diff):
        if is_test(step.path) or not languages([step.path]):
            continue
        gone = set(squeezed(step.removed)) - set(squeezed(step.added))
        lines = [line for line in put.get(step.path, ()) if line in gone and _says_something(line)]
        if lines:
            found[step.path] = tuple(dict.fromkeys(lines))
    return found


def blamed(message: str) -> tuple[str, ...]:
    """Commits that a message says it mends, as it names them."""
    return tuple(dict.fromkeys(match[1].lower() for match in _BLAMES.finditer(message)))[:3]


class _Commits:
    """Commits of a repository by the beginning of their SHA; read when first asked."""

    def __init__(self, journal: Journal, repo: str) -> None:
        self._journal, self._repo = journal, repo
        self._shas: list[tuple[str, int]] = []

    def find(self, sha: str) -> Stored | None:
        if not self._shas:
            places = self._journal.places(self._repo)
            self._shas = sorted(
                (p.sha, p.number) for p in places if p.sha and p.kind == Kind.EPISODE
            )
        place = bisect_left(self._shas, (sha, 0))
        matching = [n for s, n in self._shas[place : place + 2] if s.startswith(sha)]
        return self._journal.numbered(matching)[matching[0]] if len(matching) == 1 else None


def _regretting(journal: Journal, repo: str, since: int) -> list[tuple[Stored, str]]:
    """(commit, SHA that it takes back or mends) of those after a number, in order of arrival."""
    last = journal.generation().number
    numbers: Sequence[int] = range(since + 1, last + 1)
    if len(numbers) > _FEW:
        said = journal.matches(sorted(set(terms(_SAID))))
        numbers = [number for number, _ in said if number > since]
    found: list[tuple[Stored, str]] = []
    for stored in journal.numbered(numbers).values() if numbers else ():
        body = stored.record.body
        if isinstance(body, Episode) and body.origin == "commit" and stored.record.repo == repo:
            shas = (body.reverts,) if body.reverts else blamed(body.problem)
            found += [(stored, sha) for sha in shas]
    return sorted(found, key=lambda pair: pair[0].number)


def _mined(
    journal: Journal, earlier: Stored | None, later: Stored, undone: Sequence[str], run: str
) -> Iterator[Change]:
    if earlier is None or earlier.number == later.number:
        return
    first, second = earlier.record.body, later.record.body
    assert isinstance(first, Episode)
    assert isinstance(second, Episode)
    shapes = undone_lines(first, second)
    for path in sorted(shapes, key=lambda p: (-len(shapes[p]), p))[:MOST_FILES]:
        lines = _telling(journal, shapes[path])
        if not lines:
            continue
        record = _regret(earlier, later, path, lines)
        if journal.get(record.id) is not None:
            continue  # mined before the journal was rebuilt; its state is its own by now
        good = (
            (w.record.id, trace(w))
            for w in witnesses(journal, record)
            if w.number != earlier.number and went_well(w, undone)
        )
        yield from entered(record, trace(earlier), good, run)


def _regret(earlier: Stored, later: Stored, path: str, lines: Sequence[str]) -> Record:
    first, second = earlier.record.body, later.record.body
    assert isinstance(first, Episode)
    assert isinstance(second, Episode)
    what = "was reverted by" if second.reverts else "had to be mended by"
    why = " ".join(second.problem.partition("\n")[2].split())[:_LONGEST_WHY]
    cause = f"{first.sha[:12]} “{first.title}” did this to {path} and {what} {second.sha[:12]} "
    cause += f"“{second.title}”. {why}".rstrip()
    shape = {"type": "edit", "path": path, "added": list(lines), "least": (len(lines) + 1) // 2}
    return make_guardrail(
        shape,
        cause,
        repo=later.record.repo,
        as_of=AsOf(second.sha, float(second.authored)),
        created=float(second.authored),
        source_ids=(earlier.record.id, later.record.id),
        evidence_ids=(f"commit:{first.sha}", f"commit:{second.sha}"),
        when_to_use=f"before {path} is edited",
        tags=("commit", "revert" if second.reverts else "fix-of-fix", *languages([path])),
    )


def _refuted(
    journal: Journal, repo: str, since: int, undone: Sequence[str], run: str
) -> Iterator[Change]:
    """Quarantine what objects to a new commit that nobody undid."""
    acting = [
        stored
        for stored in journal.listed(kind=Kind.GUARDRAIL, repo=repo)
        if stored.state in ACTING and "commit" in stored.record.tags
    ]
    fresh = journal.after(since, _NEW_AT_ONCE) if acting else []
    good = [s for s in fresh if s.record.repo == repo and went_well(s, undone)]
    for stored in acting:
        holds = predicate_of(stored.record)
        against = next((s for s in good if trips(holds, trace(s))), None)
        if against is not None and against.record.id not in stored.record.source_ids:
            why = f"{against.record.id[:12]} did it, and went well"
            yield transition(stored, State.QUARANTINED, run, why)


def _telling(journal: Journal, lines: Sequence[str]) -> list[str]:
    rated = sorted((rarity(journal, line), number) for number, line in enumerate(lines))
    rare = [number for rate, number in rated if 0 < rate <= _COMMON][:_MOST_LINES]
    return [lines[number] for number in sorted(rare)]


def _says_something(line: str) -> bool:
    return len(line) >= _SHORTEST_LINE and len(_WORD.findall(line)) > 1
