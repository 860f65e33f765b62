"""The repair solver: test-guided search for a small patch, without a model."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from evo_agent.core.protocols import Assignment
from evo_agent.core.repair.baseline import Baseline, measure, test_files
from evo_agent.core.repair.driver import Driver
from evo_agent.core.repair.edits import Mutant
from evo_agent.core.repair.evaluate import (
    Evaluator,
    ProbeEvaluator,
    RunnerEvaluator,
    write_mutant,
)
from evo_agent.core.repair.localise import is_test_file
from evo_agent.core.repair.mutants import Filter
from evo_agent.core.repair.rank import ranked
from evo_agent.core.repair.recollect import hints
from evo_agent.core.repair.search import (
    SearchLimits,
    SearchState,
    edited_line,
    fresh,
    queue,
    search,
)
from evo_agent.core.repair.source import Source, UnparsableError
from evo_agent.core.types import Candidate, Cost

NO_TEST = "no failing test"
EXHAUSTED = "search exhausted"
OUT_OF_TIME = "time limit"
CONFIRM_SECONDS = 120.0


@dataclass
class _Memory:
    """What the solver remembers of a task from one round to the next."""

    state: SearchState = field(default_factory=SearchState)
    baseline: Baseline | None = None
    must_hold: set[str] = field(default_factory=set)
    originals: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class _Round:
    """One call of `solve`: the assignment, and what was found out about it."""

    assignment: Assignment
    memory: _Memory
    clean: str
    baseline: Baseline
    sources: dict[str, Source]
    driver: Driver
    limits: SearchLimits


class RepairSolver:
    """Generate-and-validate repair for Python (Solver protocol).

    Localises by spectrum, proposes edits by operators, tries them in the sandbox. The design
    follows GenProg's line (Le Goues et al., TSE 2012) with single deterministic edits in the
    manner of AE and mutation-based repair (Weimer et al., ASE 2013; Debroy and Wong, ICST
    2010) instead of a genetic search.

    What it does next depends on what the sandbox answered and on nothing else (no clock), so
    that a killed run can be resumed over the log of those answers.

    Args:
        limits: see SearchLimits; `SearchLimits.within` makes them of a run's.
    """

    def __init__(self, limits: SearchLimits | None = None) -> None:
        self.limits = limits or SearchLimits()
        self._memories: dict[str, _Memory] = {}

    @property
    def name(self) -> str:
        """Always "repair"."""
        return "repair"

    def solve(self, assignment: Assignment) -> Candidate:
        """Search for a patch; see Solver.

        Raises:
            InfrastructureError: the sandbox died.
        """
        if not assignment.task.failing_tests:
            note = "The repair solver is guided by a failing test, and none was named."
            return Candidate("", note=note, stopped=NO_TEST, final=True)
        if assignment.round == 1:
            self._memories.pop(assignment.task.id, None)
        memory = self._memories.setdefault(assignment.task.id, _Memory())
        for diagnosis in assignment.feedback:
            memory.must_hold |= set(diagnosis.tests) - set(assignment.task.failing_tests)
        before = memory.state.seconds
        candidate = self._attempt(assignment, memory)
        return replace(candidate, cost=Cost(seconds=memory.state.seconds - before))

    def _attempt(self, assignment: Assignment, memory: _Memory) -> Candidate:
        sandbox = assignment.sandbox
        undo(assignment, memory.originals)
        clean = sandbox.snapshot()
        first = assignment.task.failing_tests
        files = test_files([*first, *sorted(memory.must_hold)])
        driver = Driver(sandbox, assignment.tests, files, first, near=self.limits.near)
        if memory.baseline is None:
            _say(assignment, "measuring the failing tests and their neighbours", 0)
            memory.baseline = measure(assignment, driver, self.limits)
            memory.state.seconds += memory.baseline.seconds
            sandbox.restore(clean)
        base = memory.baseline
        sources = _sources(assignment, base, self.limits.files)
        this = _Round(assignment, memory, clean, base, sources, driver, self.limits)
        candidate = self._search(this)
        driver.close()  # not when interrupted: the sandbox ends then, and would start anew
        return candidate

    def _search(self, this: _Round) -> Candidate:
        if not this.baseline.failing:
            note = "The named tests pass here."
            return Candidate("", note=note, stopped="nothing fails", final=True)
        if not this.sources:
            note = "No suspicious line in a Python file that can be parsed."
            return Candidate("", note=note, stopped="nothing to edit", final=True)
        _announce(this)
        known = hints(this.assignment.recalled)
        state, reason = this.memory.state, "submitted"
        candidates = queue(this.sources, this.baseline.places, known)
        while reason == "submitted":
            if not state.waiting:
                new = fresh(candidates, Filter(this.sources.values()), state)
                evaluator, report = _evaluator(this), partial(_say, this.assignment)
                reason = search(new, evaluator, this.limits, state, report)
            for mutant in ranked(state.waiting):
                state.waiting.remove(mutant)
                if _confirmed(this, mutant):
                    return _candidate(this, mutant)
        return _nothing(this, reason)


def undo(assignment: Assignment, originals: Mapping[str, bytes]) -> None:
    """Take an earlier round's best attempt back, so that the search starts at base.

    Args:
        assignment: whose tree may hold that attempt.
        originals: files that this solver edited in earlier rounds, as they were.
    """
    sandbox = assignment.sandbox
    for path, data in originals.items() if sandbox.diff() else ():
        sandbox.write(path, data)
    patch = sandbox.diff()
    if patch:  # another process made the attempt: a run that was resumed
        name = "/tmp/evo-repair-undo.diff"  # noqa: S108 - inside the sandbox
        sandbox.write(name, patch.encode("utf-8", "surrogateescape"))
        sandbox.exec(f"git apply -R {name} || patch -R -p1 -i {name}; rm -f {name}")


def _sources(assignment: Assignment, base: Baseline, count: int) -> dict[str, Source]:
    """Parse the suspicious files, most suspicious first; tests are left out by localisation."""
    found: dict[str, Source] = {}
    for path in dict.fromkeys(p.path for p in base.places):
        if len(found) == count or is_test_file(path) or ".." in path.split("/"):
            continue
        try:
            found[path] = Source(path, assignment.sandbox.read(path))
        except (FileNotFoundError, UnparsableError):
            continue
    return found


def _evaluator(this: _Round) -> Evaluator:
    base = this.baseline
    then = tuple(dict.fromkeys([*base.passing, *sorted(this.memory.must_hold)]))
    if base.probed and not set(base.preloaded) & set(this.sources):
        expect = len(set(base.failing) | set(base.passing))
        return ProbeEvaluator(this.driver, this.clean, then, expect, base.test, base.total)
    first = this.assignment.task.failing_tests
    rest = tuple(t for t in then if t not in base.failing)
    return RunnerEvaluator(
        this.assignment.sandbox,
        this.assignment.tests,
        this.sources,
        this.clean,
        first,
        rest,
        base.total,
    )


def _announce(this: _Round) -> None:
    how = "coverage" if this.baseline.traced else "tracebacks"
    top = this.baseline.places[0]
    line = f"{len(this.baseline.places)} suspicious lines by {how}; first {top.path}:{top.line}"
    _say(this.assignment, line, 0)


def _say(assignment: Assignment, line: str, step: int) -> None:
    """One line for people. `assignment.progress` would write it to the log once more."""
    assignment.log.emit("progress", text=line, step=step)


def _confirmed(this: _Round, mutant: Mutant) -> bool:
    """Run the named tests by the project's own runner, in a clean tree with only the edit."""
    sandbox, first = this.assignment.sandbox, this.assignment.task.failing_tests
    sandbox.restore(this.clean)
    write_mutant(sandbox, this.sources[mutant.path], mutant)
    report = this.assignment.tests.run(sandbox, first, timeout=CONFIRM_SECONDS)
    this.memory.state.seconds += report.duration
    sandbox.restore(this.clean)
    if report.failing or not report.passing:
        return False
    write_mutant(sandbox, this.sources[mutant.path], mutant)
    this.memory.originals[mutant.path] = this.sources[mutant.path].data
    return True


def _candidate(this: _Round, mutant: Mutant) -> Candidate:
    patch = this.assignment.sandbox.diff()
    where = f"{mutant.path}:{mutant.line}"
    tried = this.memory.state.count
    return Candidate(
        patch,
        note=f"{mutant.operator} at {where}, after {tried} candidates",
        cited=mutant.sources,
        facts={
            "operators": [mutant.operator],
            "location": {"path": mutant.path, "function": mutant.function, "line": mutant.line},
            "suspiciousness_rank": mutant.rank,
            "candidates_tried": tried,
            "before": _line_before(this.sources[mutant.path], mutant),
            "after": edited_line(this.sources[mutant.path], mutant),
            "patch_hash": hashlib.sha256(patch.encode("utf-8", "replace")).hexdigest(),
            "localised_by": "coverage" if this.baseline.traced else "traceback",
        },
    )


def _line_before(source: Source, mutant: Mutant) -> str:
    start = min(e.start for e in mutant.edits)
    first = source.data.rfind(b"\n", 0, start) + 1
    end = source.data.find(b"\n", start)
    return source.data[first : end if end >= 0 else None].decode("utf-8", "replace").strip()


def _nothing(this: _Round, reason: str) -> Candidate:
    places: Sequence[Any] = this.baseline.places[:5]
    return Candidate(
        "",
        note=f"No single edit made the failing tests pass ({reason}).",
        stopped=reason,
        final=reason in (EXHAUSTED, OUT_OF_TIME),  # a candidate limit is for one round
        facts={
            "candidates_tried": this.memory.state.count,
            "suspicious": [f"{p.path}:{p.line}" for p in places],
        },
    )
