"""Commits as precedents: what history's links are counted from, small enough to keep thousands.

A sequence of precedents is oldest first, and holds only what may answer: memory.recall.asof decides who
may, nothing here filters by time.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from evo_agent.memory.history.messages import intent, is_test
from evo_agent.memory.journal.bodies import Episode
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.rows import Stored
from evo_agent.memory.journal.words import terms
from evo_agent.memory.kinship.shapes import Function, defined, touched
from evo_agent.memory.recall.asof import names_issue

LARGEST = 30  # files; a commit that touches more is a sweep, and links nothing (Zimmermann 2005)
_PULL_REQUEST = re.compile(r"\s*\(#\d{1,7}\)\s*$")  # on every squashed commit: makes none a fix
_MESSAGE = 1_000  # characters of a message that count


@dataclass(frozen=True, slots=True)
class Precedent:
    """A change that was made before, as far as links need it.

    Attributes:
        sha: the commit; time: seconds since 1970.
        title: as the episode has it; intent: see memory.history.messages.
        words: terms of its message, each once.
        files: paths that are no tests; tests: paths that are.
        functions: (path, name) of what it touched, tests left out.
        shape: see memory.kinship.shapes.
        renames: (former, new) path.
        references: issues that its message names.
        id: of the record, if it comes from the journal.
    """

    sha: str
    time: int
    title: str
    intent: str = ""
    words: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    functions: tuple[Function, ...] = ()
    shape: tuple[str, ...] = ()
    renames: tuple[tuple[str, str], ...] = ()
    references: tuple[str, ...] = ()
    id: str = ""


def precedent(episode: Episode, record_id: str = "") -> Precedent:
    """What links need of a commit's episode."""
    paths = [file.path for file in episode.files]
    tests = dict.fromkeys(path for path in paths if is_test(path))
    seen = touched(episode.diff)
    headers = ((hunk.path, defined(hunk.section)) for hunk in episode.hunks)
    known = {path for path, _ in seen.functions}
    beyond = (pair for pair in headers if pair[1] and pair[0] not in known)  # the diff was cut
    functions = dict.fromkeys((*seen.functions, *beyond))
    return Precedent(
        sha=episode.sha,
        time=episode.authored,
        title=episode.title,
        intent=intent(_PULL_REQUEST.sub("", episode.title), paths),
        words=message_words(f"{episode.title}\n{episode.problem[:_MESSAGE]}"),
        files=tuple(path for path in paths if path not in tests),
        tests=tuple(tests),
        functions=tuple(pair for pair in functions if pair[0] not in tests),
        shape=seen.shape,
        renames=tuple((file.old, file.path) for file in episode.files if file.status == "R"),
        references=episode.references,
        id=record_id,
    )


def message_words(text: str) -> tuple[str, ...]:
    """Terms of a message, each once, numbers left out."""
    return tuple(dict.fromkeys(word for word in terms(text) if not word.isdigit()))


def renamed(precedents: Sequence[Precedent]) -> tuple[Precedent, ...]:
    """The same with every path under the name that it has after the last of them.

    Args:
        precedents: oldest first.
    """
    today: dict[str, str] = {}
    found: list[Precedent] = []
    for one in reversed(precedents):
        found.append(_under(one, today) if today else one)
        for old, new in one.renames:
            today[old] = today.get(new, new)
    return tuple(reversed(found))


class Precedents:
    """The precedents of a journal, each read once; what was learnt meanwhile is read when asked.

    Args:
        journal: open.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: dict[int, Precedent | None] = {}

    def among(self, numbers: Iterable[int], issues: Collection[str] = ()) -> tuple[Precedent, ...]:
        """Those of the records that may answer, oldest first, paths under today's names.

        Args:
            numbers: of the records that may answer; nothing else is looked at.
            issues: numbers of issues (asof.issues); commits that name one are left out.

        Raises:
            StoreError: the journal cannot be read.
        """
        wanted = sorted(numbers)
        missing = [number for number in wanted if number not in self._known]
        stored = self._journal.numbered(missing) if missing else {}
        self._known |= {number: _of(stored[number]) for number in missing if number in stored}
        found = (self._known.get(number) for number in wanted)
        return renamed(
            [one for one in found if one and not names_issue(one.references, set(issues))]
        )


def _of(stored: Stored) -> Precedent | None:
    body = stored.record.body
    if isinstance(body, Episode) and body.origin == "commit":
        return precedent(body, stored.record.id)
    return None


def _under(one: Precedent, today: Mapping[str, str]) -> Precedent:
    paths = (*one.files, *one.tests)
    if not any(path in today for path in paths):
        return one

    def moved(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(today.get(path, path) for path in names)

    functions = tuple((today.get(path, path), name) for path, name in one.functions)
    return replace(one, files=moved(one.files), tests=moved(one.tests), functions=functions)
