"""Recall: who may answer, who is near, who is near enough, and why.

The filter on time (memory.recall.asof) comes first and does not depend on the query's text. Then every
record that may answer is ranked by what memory.recall.scoring weighs; below the floors nothing is said.
Ranking reads derived arrays; the few records that it chooses are read from the journal, and each
is held against the filter once more by what it says itself.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from evo_agent.core.types import Query
from evo_agent.memory.journal.bodies import Episode, Kind
from evo_agent.memory.journal.document import document
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.rows import Place, Stored
from evo_agent.memory.recall.ancestry import Past
from evo_agent.memory.recall.asof import allowed, issues, may_answer, names_issue
from evo_agent.memory.recall.columns import Columns
from evo_agent.memory.recall.dense import Approximate, Dense
from evo_agent.memory.recall.embed import Embedder
from evo_agent.memory.recall.fulltext import FullTextRanking, mentioned
from evo_agent.memory.recall.ranking import Candidate, ColumnRanking
from evo_agent.memory.recall.scoring import paths_of
from evo_agent.memory.recall.vectors import Progress, Vectors

SPARE = 8  # candidates beyond the limit, in the place of those that the last check leaves out


@dataclass(frozen=True, slots=True)
class Found:
    """A record that answers, its score, and the evidence in words."""

    stored: Stored
    score: float
    why: str


class Ranking(Protocol):
    """Finds the best records that may answer: by arrays, or by full text alone."""

    def candidates(self, query: Query, now: float, most: int) -> list[Candidate]:
        """Near enough, best first, at most so many."""
        ...


class Recall:
    """Everything that answers a query, opened when it is needed.

    Args:
        journal: the truth.
        embedder: see memory.recall.embed.
        folder: of what is derived from the journal.
        say: told, in one line, what people should know.
    """

    def __init__(
        self, journal: Journal, embedder: Embedder, folder: Path, say: Callable[[str], None]
    ) -> None:
        self._journal = journal
        self._embedder = embedder
        self._folder = folder
        self._say = say
        self._states: tuple[int, Mapping[int, str]] = (-1, {})
        self.past = Past(journal, folder / "past", say)

    def find(self, query: Query) -> list[Found]:
        """Records near enough to the query, best first, at most query.limit.

        Raises:
            StoreError: the journal cannot be read.
            ModelError: the embedder fails.
        """
        moment = now()
        chosen = self._ranking.candidates(query, moment, query.limit + SPARE)
        stored = self._journal.numbered(candidate.number for candidate in chosen[: query.limit])
        found: list[Found] = []
        for candidate in chosen:
            if len(found) == query.limit:
                break
            one = stored.get(candidate.number) or self._read(candidate.number)
            if one is not None and self.answers(one, query, moment):
                found.append(Found(one, candidate.score, _why(one, candidate, query)))
        return found

    def answering(self, query: Query) -> list[int]:
        """Numbers of all records that may answer, near or not.

        Raises:
            StoreError: the journal cannot be read.
        """
        if isinstance(self._ranking, ColumnRanking):
            return self._ranking.answering(query, now())
        places = self._journal.places(query.repo)
        return sorted(allowed(places, query, self.past.of, now()).values())

    def answers(self, stored: Stored, query: Query, moment: float) -> bool:
        """Whether a record may answer, by what it says itself."""
        record, body = stored.record, stored.record.body
        place = Place(
            number=stored.number,
            id=record.id,
            kind=record.kind.value,
            repo=record.repo,
            scope=record.scope.value,
            state=stored.state.value,
            origin=body.origin if isinstance(body, Episode) else "",
            issue=body.issue_id,
            sha=body.sha if isinstance(body, Episode) else "",
            time=record.as_of.time,
        )
        named = body.references if isinstance(body, Episode) and record.repo == query.repo else ()
        if names_issue(named, issues(query)):
            return False
        return may_answer(
            place, query, lambda sha: self.past.precedes(query.repo, query.base, sha), moment
        )

    def sync(self, progress: Progress | None = None) -> None:
        """Bring what is derived up to date; a query does so, too, as far as it needs it."""
        if isinstance(self._ranking, ColumnRanking):
            self._columns.snapshot()
            self._dense.sync(progress)

    def close(self) -> None:
        """Let go of files; idempotent."""
        if "_dense" in self.__dict__:
            self._dense.close()

    @cached_property
    def _ranking(self) -> Ranking:
        if not _installed("numpy"):
            self._say("numpy is missing (pip install 'evo-agent[memory]'): recall is slower")
            return FullTextRanking(self._journal, self._embedder, self.past.of)
        return ColumnRanking(
            self._columns, self._dense, self._embedder, before=self.past.mask, states=self._moved
        )

    @cached_property
    def _columns(self) -> Columns:
        return Columns(self._folder / "columns", self._journal, self._say)

    @cached_property
    def _dense(self) -> Dense:
        folder = self._folder / f"evo-{_plain(self._embedder.name)}"
        vectors = Vectors(folder, self._journal, self._embedder, self._say)

        def open_chroma() -> Approximate:
            from evo_agent.memory.recall.index import ChromaIndex  # noqa: PLC0415  (chromadb)

            return ChromaIndex(folder, self._journal, self._embedder, vectors)

        return Dense(vectors, open_chroma, self._say)

    def _moved(self) -> Mapping[int, str]:
        """States of the records that are no candidates any more."""
        position = self._journal.position()
        if self._states[0] != position:
            with self._journal.transaction(write=False) as connection:
                sql = "SELECT number, state FROM records WHERE state != 'candidate'"
                self._states = (position, dict(connection.execute(sql).fetchall()))
        return self._states[1]

    def _read(self, number: int) -> Stored | None:
        return self._journal.numbered([number]).get(number)


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # named in sys.modules, and not there
        return False


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() and c.isascii() else "-" for c in name)[:200]


def _why(stored: Stored, candidate: Candidate, query: Query) -> str:
    shared = ", ".join(candidate.shared[:5])
    parts = [f"shares {shared} ({candidate.coverage:.0%} of what the query says)"] * bool(shared)
    if candidate.cosine > 0:
        parts.append(f"cosine {candidate.cosine:.2f}")
    if candidate.touched:
        named = paths_of(query)
        touched = (p for p in document(stored.record).paths if mentioned((p,), named))
        parts.append(f"touches {next(touched, 'a file in question')}")
    if stored.uses:
        parts.append(f"helped in {stored.wins} of {stored.uses} runs")
    if stored.record.kind is Kind.SKILL:
        parts.append(f"{stored.state} skill")
    return "; ".join(parts)


def now() -> float:
    """Seconds since 1970; the time up to which runs and skills may answer."""
    return time.time()
