"""The search: suspicious lines to an ordered queue of candidates, tried in batches."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from evo_agent.core.config import LimitsConfig
from evo_agent.core.repair.edits import Mutant, apply_edits
from evo_agent.core.repair.evaluate import Evaluator
from evo_agent.core.repair.localise import Place
from evo_agent.core.repair.mutants import MAX_MUTANTS, Filter, mutants
from evo_agent.core.repair.rank import settled
from evo_agent.core.repair.recollect import Hint, boosted
from evo_agent.core.repair.source import Source


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """What one search may use.

    Attributes:
        seconds: time spent running tests, for all rounds of a task.
        candidates: candidates tried, for one round.
        plausible: how many plausible candidates are collected before one is chosen.
        further: how many candidates are tried after the first plausible one, at most.
        further_seconds: how long they are tried for, at most.
        batch: candidates in one start of the runner.
        batch_seconds: time after which a batch ends.
        near: passing tests of the failing tests' files that must hold.
        test_seconds: time for one test while measuring; candidates get less.
        files: how many suspicious files are read.
    """

    seconds: float = 300.0
    candidates: int = 4000
    plausible: int = 4
    further: int = 80
    further_seconds: float = 8.0
    batch: int = 60
    batch_seconds: float = 12.0
    near: int = 60
    test_seconds: float = 2.0
    files: int = 8

    @classmethod
    def within(cls, limits: LimitsConfig) -> Self:
        """The usual limits, with the time that a whole run may take (0: no limit)."""
        return cls(seconds=limits.seconds if limits.seconds > 0 else math.inf)


@dataclass
class SearchState:
    """What is kept from one round to the next."""

    tried: set[str] = field(default_factory=set)
    count: int = 0
    seconds: float = 0.0  # spent running tests, by the recorded results
    waiting: list[Mutant] = field(default_factory=list)  # plausible, not handed over yet


def queue(
    sources: Mapping[str, Source], places: Sequence[Place], known: Sequence[Hint]
) -> list[Mutant]:
    """All candidates in the order in which they are tried; the same for the same input."""
    found: list[Mutant] = []
    for source in sources.values():
        for mutant in mutants(source, places):
            found.append(boosted(mutant, edited_line(source, mutant), known) if known else mutant)
            if len(found) >= MAX_MUTANTS:
                break
    return sorted(found, key=lambda m: (-m.score, m.path, m.line, m.size, m.key))


def edited_line(source: Source, mutant: Mutant) -> str:
    """The first edited line as it reads with the edit."""
    first = min(mutant.edits, key=lambda e: e.start)
    after = apply_edits(source.data, mutant.edits)
    start = source.data.rfind(b"\n", 0, first.start) + 1
    end = after.find(b"\n", first.start + len(first.text.encode()))
    return after[start : end if end >= 0 else None].decode("utf-8", "replace").strip()


def search(
    candidates: Iterable[Mutant],
    evaluator: Evaluator,
    limits: SearchLimits,
    state: SearchState,
    report: Callable[[str, int], None],
) -> str:
    """Try candidates until enough plausible ones wait in `state`, or a limit is reached.

    Args:
        candidates: the ones rated highest first; see `queue` and `fresh`.
        evaluator: runs the tests.
        limits: for this call.
        state: told what was tried and found.
        report: called with a line and the number of candidates tried so far.

    Returns:
        Why the search ended: "submitted", "time limit", "candidate limit" or
        "search exhausted".
    """
    pending = iter(candidates)
    clock = _Clock(limits, state)
    batch: list[Mutant] = []
    while True:
        while len(batch) < limits.batch and (mutant := next(pending, None)):
            batch.append(mutant)
        reason = clock.over() if batch else "search exhausted"
        if reason:
            return "submitted" if state.waiting else reason
        if settled(state.waiting, batch[0].score):  # the others are rated no higher
            return "submitted"
        trial = evaluator.evaluate(batch, seconds=clock.slice(), enough=1)
        state.tried |= {m.key for m in batch[: trial.tried]}
        state.count += trial.tried
        state.seconds += trial.seconds
        state.waiting += trial.plausible
        batch = batch[trial.tried :]
        report(_line(state), state.count)


def _line(state: SearchState) -> str:
    found = f", {len(state.waiting)} plausible" if state.waiting else ""
    return f"{state.count} candidates tried{found}"


def fresh(candidates: Iterable[Mutant], admits: Filter, state: SearchState) -> Iterator[Mutant]:
    """The candidates that are Python, differ from one another, and were not tried before."""
    for mutant in candidates:
        if mutant.key not in state.tried and admits.admits(mutant):
            yield mutant


class _Clock:
    """Says when a search is over; the first plausible candidate leaves it a little longer.

    Its time is the sum of what the tests took, as recorded: by a real clock, a resumed run
    would be through with the first half in no time and then decide otherwise.
    """

    def __init__(self, limits: SearchLimits, state: SearchState) -> None:
        self._limits, self._state = limits, state
        self._end = limits.seconds
        self._last = state.count + limits.candidates
        self._found = False

    def over(self) -> str:
        """Why it is over; empty while it is not."""
        if self._state.waiting and not self._found:
            self._found = True
            self._end = min(self._end, self._state.seconds + self._limits.further_seconds)
            self._last = min(self._last, self._state.count + self._limits.further)
        if len(self._state.waiting) >= self._limits.plausible:
            return "submitted"
        if self._state.seconds >= self._end:
            return "time limit"
        return "candidate limit" if self._state.count >= self._last else ""

    def slice(self) -> float:
        """Seconds for the next batch."""
        return max(0.1, min(self._limits.batch_seconds, self._end - self._state.seconds))
