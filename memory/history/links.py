"""What is worked out of a commit only when a recall touches it, and then kept.

Two things that cost too much for a whole history: the symbols that its hunks touch, and, of a
fix, the commits that introduced what it replaced (memory.history.szz). Each commit is worked out once,
by whoever comes first, and stored in the journal as an event of its record.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from evo_agent.core.errors import RepositoryError
from evo_agent.core.git import Repository, git_command
from evo_agent.memory.history.gitlog import read_commits
from evo_agent.memory.history.gitread import Asking
from evo_agent.memory.history.szz import Introduced, introductions
from evo_agent.memory.history.touched import Symbol, symbols
from evo_agent.memory.journal.bodies import Episode
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.rows import Change, Stored

ALGORITHM = 1  # of both: what an older one found is worked out anew
ALLOWANCE = 2.0  # seconds for one commit; what is not found by then is left out for good
_FIXES = ("fix", "revert")


@dataclass(frozen=True, slots=True)
class Links:
    """What a commit touches, and what it mends.

    Attributes:
        symbols: functions, methods and classes whose lines it changed.
        introduced: of a fix, the commits that introduced the lines it replaced, most lines first.
        cut: whether the time was up, or git could not tell everything.
    """

    symbols: tuple[Symbol, ...] = ()
    introduced: tuple[Introduced, ...] = ()
    cut: bool = False


@dataclass(frozen=True, slots=True)
class LinkReport:
    """What a call did.

    Attributes:
        worked_out, known, left: commits: now, before, and left for the next call.
        parsed, fixes: of those now: where symbols, and where introductions were looked for.
        symbol_seconds, fix_seconds: spent on each.
    """

    worked_out: int = 0
    known: int = 0
    left: int = 0
    parsed: int = 0
    fixes: int = 0
    symbol_seconds: float = 0.0
    fix_seconds: float = 0.0

    @property
    def symbol_rate(self) -> float:
        """Commits a second whose symbols were worked out."""
        return self.parsed / self.symbol_seconds if self.symbol_seconds else 0.0

    @property
    def fix_rate(self) -> float:
        """Fixes a second whose introductions were worked out."""
        return self.fixes / self.fix_seconds if self.fix_seconds else 0.0


class Linker:
    """Works out links and keeps them.

    Args:
        journal: where records and links are.
        repository: whose commits they are; others' are left alone.
    """

    def __init__(self, journal: Journal, repository: Repository) -> None:
        self._journal = journal
        self._repository = repository

    def link(self, records: Iterable[Stored], budget: float = 1.0) -> LinkReport:
        """Work out what is not known yet, in order, until a budget of seconds is used up.

        The commit that is at work then is finished, which takes at most ALLOWANCE seconds more.

        Raises:
            StoreError: the journal cannot be written.
        """
        end = time.monotonic() + budget
        clock = _Clock()
        worked = known = left = 0
        for stored in records:
            commit = self._commit(stored)
            if commit is None:
                continue
            if kept(self._journal, stored.record.id) is not None:
                known += 1
            elif time.monotonic() >= end:
                left += 1
            else:
                worked += 1
                self._keep(stored.record.id, self._worked_out(commit, clock))
        seconds, done = clock.spent, clock.done
        counts = (worked, known, left, done["symbols"], done["fixes"])
        return LinkReport(*counts, seconds["symbols"], seconds["fixes"])

    def _commit(self, stored: Stored) -> Episode | None:
        body = stored.record.body
        own = stored.record.repo == self._repository.identity
        return body if own and isinstance(body, Episode) and body.origin == "commit" else None

    def _worked_out(self, episode: Episode, clock: "_Clock") -> Links:
        git = tuple(git_command(self._repository))
        asking = Asking(git, time.monotonic() + ALLOWANCE)
        try:
            (commit,) = read_commits(git, [episode.sha], context=0)
            with clock.running("symbols"):
                touched = symbols(asking, commit)
        except (RepositoryError, ValueError):  # too slow, or another clone's and not here
            return Links(cut=True)
        if episode.intent not in _FIXES:
            return Links(touched)
        try:
            with clock.running("fixes"):
                return Links(touched, introductions(asking, commit))
        except RepositoryError:
            return Links(touched, cut=True)

    def _keep(self, record_id: str, links: Links) -> None:
        run = f"links-{ALGORITHM}-{record_id}"  # once, whoever else works it out at this moment
        change = Change("links", record_id, {"algorithm": ALGORITHM, **asdict(links)})
        self._journal.write_once(run, lambda: [change])


def kept(journal: Journal, record_id: str) -> Links | None:
    """The links of a commit's record, if they have been worked out; never works."""
    for event in journal.events(record=record_id, kind="links"):
        if event.data.get("algorithm") == ALGORITHM:
            return Links(
                tuple(Symbol(**one) for one in event.data["symbols"]),
                tuple(Introduced(**one) for one in event.data["introduced"]),
                cut=event.data["cut"],
            )
    return None


class _Clock:
    """Seconds and counts, by what was done."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.done: Counter[str] = Counter()

    @contextmanager
    def running(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.spent[what] += time.monotonic() - started
            self.done[what] += 1
