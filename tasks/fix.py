"""`evo fix`, as a straight path: recall → plan → act → verify → refine → record.

Everything a run decides goes through its log (core.events), so the same path, run again over
the log of a killed run, goes on where that one stopped.
"""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from evo_agent.core.codec import from_json
from evo_agent.core.config import Config
from evo_agent.core.errors import EvoError, InfrastructureError
from evo_agent.core.events import Event, RunLog, digest
from evo_agent.core.machine import Machine
from evo_agent.core.protocols import Assignment, Recaller, Sandbox, Solver, TestRunner, Verifier
from evo_agent.core.types import (
    Candidate,
    Cost,
    Diagnosis,
    DiagnosisKind,
    Grade,
    Phase,
    Query,
    Recalled,
    Task,
    TestReport,
    Verdict,
    to_json,
)
from evo_agent.tasks.node_ids import unknown_tests
from evo_agent.tasks.results import Attempt, FixRequest, FixResult, Written

__all__ = ["Bench", "FixRequest", "FixResult", "Run", "Written", "fix"]


@dataclass(frozen=True)
class Bench:
    """What a run works with, opened and wired (see tasks.wiring).

    Attributes:
        base_tree: snapshot of the workspace before anything was done.
        write_back: keeps an attempt in memory; takes the number of its verdict's event.
        deliver: applies a patch as asked and says where it went.
    """

    sandbox: Sandbox
    base_tree: str
    tests: TestRunner
    solver: Solver
    verifier: Verifier
    memory: Recaller
    write_back: Callable[[Attempt, tuple[Recalled, ...], int], Written]
    deliver: Callable[[str], str]


class Run:
    """One run of one task: the path, and what it has gathered so far."""

    def __init__(self, task: Task, config: Config, bench: Bench, log: RunLog) -> None:
        self.task, self.config, self.bench, self.log = task, config, bench, log
        self.machine = Machine(log)
        self.recalled: tuple[Recalled, ...] = ()
        self.feedback: tuple[Diagnosis, ...] = ()
        self.before: TestReport | None = None
        self.best: Attempt | None = None
        self.spent = Cost()

    def solve(self) -> FixResult:
        """The whole run, top to bottom."""
        self.recall()
        self.plan()
        if self.nothing_to_go_by():
            return self.point_the_way()
        while True:
            candidate = self.act()
            if self.gave_nothing(candidate):
                self.plan_again(candidate)
                continue
            verdict = self.verify(candidate)
            if verdict.grade is not Grade.REJECTED or self.is_over(candidate):
                return self.record()
            self.refine(verdict)

    def recall(self) -> None:
        """Ask memory what this resembles."""
        self.machine.enter(Phase.RECALL)
        self.recalled = self._ask_memory()

    def plan(self) -> None:
        """See what fails before anything is changed."""
        self.machine.enter(Phase.PLAN)
        if self.task.failing_tests:
            allowed = self.config.sandbox.timeout  # a test that never ends must not take longer
            tests, sandbox = self.bench.tests, self.bench.sandbox
            self.before = tests.run(sandbox, self.task.failing_tests, timeout=allowed)
            self.log.emit("test-report", when="before", report=to_json(self.before))
            _must_fail(self.before)

    def nothing_to_go_by(self) -> bool:
        """Whether there is neither a failing test nor a model."""
        return not self.task.failing_tests and self.bench.solver.name == "repair"

    def point_the_way(self) -> FixResult:
        """Say where to look and what would help; pretend nothing."""
        self.log.emit("run-end", grade=None, reason="no failing test and no model", cost={})
        return FixResult(
            run=self.log.folder,
            task=self.task,
            recalled=self.recalled,
            suspects=_suspects(self.recalled),
            advice="name a failing test with --test, or configure a model with --model",
        )

    def act(self) -> Candidate:
        """Let the solver work; keep what it hands over."""
        self.machine.enter(Phase.ACT)
        candidate = self.bench.solver.solve(
            Assignment(
                task=self.task,
                sandbox=self.bench.sandbox,
                tests=self.bench.tests,
                recalled=self.recalled,
                memory=self.bench.memory,
                log=self.log,
                round=self.machine.round,
                feedback=self.feedback,
                before=self.before,
                progress=self._say,
            )
        )
        self.spent += candidate.cost
        if candidate.patch.strip():
            self._keep("patch.diff", candidate.patch)
        self.log.emit("candidate", round=self.machine.round, candidate=to_json(candidate))
        return candidate

    def gave_nothing(self, candidate: Candidate) -> bool:
        """Whether there is nothing to verify, and another round may bring something."""
        return not candidate.patch.strip() and not self.is_over(candidate)

    def plan_again(self, candidate: Candidate) -> None:
        """Acting failed: back to planning, with the reason."""
        reason = f"the solver changed nothing ({candidate.stopped})"
        self.feedback += (Diagnosis(DiagnosisKind.EMPTY_PATCH, reason),)
        self.machine.enter(Phase.PLAN)
        self.recalled = self._ask_memory()

    def verify(self, candidate: Candidate) -> Verdict:
        """Ask the verifier. When the machinery fails nothing is known: the run stops, resumable."""
        self.machine.enter(Phase.VERIFY)

        def perform() -> Verdict:
            found = self.bench.verifier.verify(self.task, candidate.patch, candidate.frozen_test)
            if found.grade is Grade.INFRASTRUCTURE:
                raise InfrastructureError(found.reason, "see `evo doctor`, then `evo runs resume`")
            return found

        request = {"patch": digest(candidate.patch), "frozen": to_json(candidate.frozen_test)}
        verdict = self.log.call("verify", request, perform, _plain, _verdict)
        self.machine.verdict(verdict)
        self.best = _better(self.best, Attempt(candidate, verdict))
        return verdict

    def refine(self, verdict: Verdict) -> None:
        """Take the diagnosis into the next round, and ask memory about the new failure."""
        self.machine.enter(Phase.REFINE)
        if verdict.diagnosis is not None:
            self.feedback += (verdict.diagnosis,)
        if verdict.broken:  # what broke something is rolled back; a near miss is built upon
            self.bench.sandbox.restore(self.bench.base_tree)
        self.recalled = self._ask_memory()

    def is_over(self, candidate: Candidate) -> bool:
        """Whether this was the last round: by the solver, by count, or by a limit of the run."""
        limits, spent = self.config.limits, self.spent
        tokens = spent.input_tokens + spent.output_tokens
        return (
            candidate.final
            or (0 < limits.rounds <= self.machine.round)
            or (0 < limits.tokens <= tokens)
            or (0 < limits.seconds <= spent.seconds)
            or (0 < limits.dollars <= (spent.dollars or 0.0))
        )

    def record(self) -> FixResult:
        """Keep what was learnt, then hand the fix over. A flaky verdict teaches nothing."""
        best = self.best
        assert best is not None  # record is only reached through verify
        verdict = best.verdict
        self.machine.enter(Phase.RECORD)
        evidence = self.machine.evidence(verdict)
        self._keep("patch.diff", best.candidate.patch)
        self._keep("verdict.json", json.dumps(to_json(verdict), indent=2) + "\n")
        written = Written() if verdict.grade is Grade.FLAKY else self._write_back(best, evidence)
        delivered = self._deliver(best.candidate.patch) if verdict.holds else ""
        cost = to_json(self.spent)
        self.log.emit("run-end", grade=verdict.grade, reason=verdict.reason, cost=cost)
        return FixResult(
            run=self.log.folder,
            task=self.task,
            verdict=verdict,
            candidate=best.candidate,
            recalled=self.recalled,
            delivered=delivered,
            written=written,
            cost=self.spent,
            suspects=_suspects(self.recalled),
            advice="" if verdict.holds else _advice(verdict),
        )

    def _ask_memory(self) -> tuple[Recalled, ...]:
        """Ask; after a failure, with what it said (SLEA-RL: again at each new observation)."""
        issue = self.task.issue
        words = [issue.title, issue.text, *self.task.failing_tests]
        words += [f"{d.detail}\n{d.excerpt}" for d in self.feedback[-1:]]
        query = Query(
            text="\n".join(words),
            base=self.task.base,
            issue_id=self.task.issue_ids,
            limit=self.config.memory.limit,
            places=self._places_wanted(),
        )
        return self.bench.memory.recall(query)

    def _places_wanted(self) -> int:
        """Files to be named: none where a failing test shows the search where to look."""
        searched = self.bench.solver.name == "repair" and self.task.failing_tests
        return 0 if searched else self.config.memory.limit

    def _write_back(self, best: Attempt, evidence: int) -> Written:
        return self.log.call(
            "write-back",
            {"evidence": evidence},
            lambda: self.bench.write_back(best, self.recalled, evidence),
            _kept,
            lambda raw: from_json(Written, raw),
        )

    def _deliver(self, patch: str) -> str:
        request = {"patch": digest(patch)}
        return self.log.call("deliver", request, lambda: self.bench.deliver(patch), str, str)

    def _keep(self, name: str, text: str) -> None:
        (self.log.folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))

    def _say(self, line: str) -> None:
        self.log.emit("progress", text=line)


def _kept(written: Written) -> object:
    return to_json(written)


def _plain(verdict: Verdict) -> object:
    return to_json(verdict)


def _verdict(raw: object) -> Verdict:
    return from_json(Verdict, raw)


def _must_fail(before: TestReport) -> None:
    for test in unknown_tests(before):
        raise EvoError(
            before.messages[test].splitlines()[0],
            "check the id; a test that is not committed yet must be committed first",
        )
    if before.outcomes and not before.failing and not before.timed_out:
        names = ", ".join(before.outcomes)
        raise EvoError(
            f"nothing to fix: {names} passes at the commit the work starts from",
            "name a test that fails there; commit the failing test first if it is new",
        )


def _better(best: Attempt | None, new: Attempt) -> Attempt:
    """The attempt to keep: a better grade, then something over nothing, then fewer failures."""
    order = (Grade.PROVED, Grade.REPRODUCED, Grade.UNPROVED, Grade.FLAKY, Grade.REJECTED)

    def rank(attempt: Attempt) -> tuple[int, bool, int]:
        verdict = attempt.verdict
        failing = len(verdict.after.failing) if verdict.after else 0
        empty = not attempt.candidate.patch.strip()
        return (order.index(verdict.grade), empty, len(verdict.broken) + failing)

    return new if best is None or rank(new) <= rank(best) else best


def _suspects(recalled: tuple[Recalled, ...]) -> tuple[str, ...]:
    """Files worth reading: the places that memory names come before what its records touched."""
    return tuple(dict.fromkeys(path for record in recalled for path in record.paths))[:10]


def _advice(verdict: Verdict) -> str:
    if verdict.grade is Grade.UNPROVED:
        return "nothing failed before: name the failing test with --test to have it proved"
    if verdict.grade is Grade.FLAKY:
        return "make the named tests deterministic, then run again"
    return "the best attempt is kept in the run's folder; more --rounds or a model may get there"


def fix(
    request: FixRequest, config: Config, observe: Callable[[Event], None] = lambda _: None
) -> FixResult:
    """Fix an issue in a repository.

    Raises:
        EvoError: anything expected that keeps a run from starting or from going on; a run that
            had started can be resumed.
    """
    from evo_agent.tasks.wiring import begin, open_bench  # noqa: PLC0415  (opens what is heavy)

    with ExitStack() as stack:
        start, log = begin(request, config, observe, stack)
        return drive(start.task, config, log, lambda: open_bench(start, log, stack))


def drive(task: Task, config: Config, log: RunLog, open_: Callable[[], Bench]) -> FixResult:
    """Solve, and write down why the run ended when it could not go on."""
    try:
        return Run(task, config, open_(), log).solve()
    except EvoError as error:
        grade = Grade.INFRASTRUCTURE if isinstance(error, InfrastructureError) else None
        _say_why(log, grade, error)
        raise


def _say_why(log: RunLog, grade: Grade | None, error: EvoError) -> None:
    try:
        log.emit("run-stopped", grade=grade, reason=error.cause)
    except EvoError:
        return  # the log itself cannot be written; the error on its way says more
