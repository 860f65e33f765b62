"""Two ways to try candidates: forked sessions of the probe, or one start of the runner each."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from evo_agent.core.protocols import Sandbox, TestRunner
from evo_agent.core.repair.driver import Driver, Job
from evo_agent.core.repair.edits import Mutant, apply_edits
from evo_agent.core.repair.source import Source


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of candidates: how many were tried, which hold, and what it took.

    `seconds` are of the recorded results, never a clock's: a resumed run decides by them again.
    """

    tried: int
    plausible: tuple[Mutant, ...]
    seconds: float


class Evaluator(Protocol):
    """Tries candidates in the sandbox and leaves the workspace as it was."""

    def evaluate(self, mutants: Sequence[Mutant], *, seconds: float, enough: int) -> Trial:
        """Try in order, until time is up or `enough` hold; at least one is tried."""
        ...


@dataclass(frozen=True)
class ProbeEvaluator:
    """Forks a session for each candidate (about 50 ms each).

    Args:
        driver: the probe.
        clean: snapshot of the workspace without any edit.
        then: tests that must hold besides the failing ones.
        expect: how many tests run in a complete session.
        test: seconds a test may take.
        total: seconds a session may take.
    """

    driver: Driver
    clean: str
    then: tuple[str, ...]
    expect: int
    test: float
    total: float

    def evaluate(self, mutants: Sequence[Mutant], *, seconds: float, enough: int) -> Trial:
        """See Evaluator."""
        jobs = [
            Job(m.key, m.edits, test=self.test, total=self.total, expect=self.expect)
            for m in mutants
        ]
        batch = self.driver.run(jobs, then=self.then, budget=seconds, enough=enough)
        self.driver.sandbox.restore(self.clean)
        good = {r.id for r in batch.results if r.plausible and not r.killed}
        # A probe that died says nothing; its first candidate counts as tried and failed.
        tried = max(1, len(batch.results))
        return Trial(tried, tuple(m for m in mutants if m.key in good), batch.seconds)


@dataclass(frozen=True)
class RunnerEvaluator:
    """Starts the project's runner for each candidate.

    Args:
        sandbox: where.
        tests: the runner.
        sources: the files as they are without any edit.
        clean: snapshot of the workspace without any edit.
        first: tests that must come to pass.
        then: tests that must hold as well.
        total: seconds a run may take.
    """

    sandbox: Sandbox
    tests: TestRunner
    sources: dict[str, Source]
    clean: str
    first: tuple[str, ...]
    then: tuple[str, ...]
    total: float

    def evaluate(self, mutants: Sequence[Mutant], *, seconds: float, enough: int) -> Trial:
        """See Evaluator."""
        tried, plausible, spent = 0, [], 0.0
        for mutant in mutants:
            tried += 1
            used, holds = self._holds(mutant)
            spent += used
            if holds:
                plausible.append(mutant)
            if spent > seconds or len(plausible) >= enough:
                break
        return Trial(tried, tuple(plausible), spent)

    def _holds(self, mutant: Mutant) -> tuple[float, bool]:
        write_mutant(self.sandbox, self.sources[mutant.path], mutant)
        report = self.tests.run(self.sandbox, self.first, timeout=self.total)
        spent, holds = report.duration, bool(report.passing) and not report.failing
        if holds and self.then:
            report = self.tests.run(self.sandbox, self.then, timeout=self.total)
            spent, holds = spent + report.duration, not set(report.failing) & set(self.then)
        self.sandbox.restore(self.clean)
        return spent, holds


def write_mutant(sandbox: Sandbox, source: Source, mutant: Mutant) -> None:
    """Write the edited file, and drop what Python cached of the old one.

    A .pyc is judged by the source's size and whole seconds of its time stamp, so an edit of
    the same size within a second would not be seen.
    """
    folder, _, name = source.path.rpartition("/")
    stem = name.removesuffix(".py")
    cached = f"{folder}/__pycache__" if folder else "__pycache__"
    sandbox.write(source.path, apply_edits(source.data, mutant.edits))
    sandbox.exec(f"rm -f -- {shlex.quote(cached)}/{shlex.quote(stem)}.*.pyc")
