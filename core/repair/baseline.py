"""What is known before anything is edited: which tests fail, which hold, how long they take."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evo_agent.core.protocols import Assignment
from evo_agent.core.repair.driver import Driver, Job, JobResult, TestRun
from evo_agent.core.repair.localise import Place, from_spectrum, from_traceback, is_test_file
from evo_agent.core.repair.search import SearchLimits
from evo_agent.core.types import Outcome

FAILING = (Outcome.FAILED, Outcome.ERROR)
BASE_TOTAL = 60.0  # seconds for all tests of the plain run, and of the traced one
QUICKEST = 0.5  # processor seconds that every candidate's test may take
MAX_MESSAGES = 20


@dataclass(frozen=True, slots=True)
class Baseline:
    """The state of the tests at base.

    Attributes:
        failing: ids of named tests that fail.
        passing: ids of named or near tests that pass, and so must hold.
        places: suspicious lines, most suspicious first.
        traced: whether the places come from coverage (else from tracebacks).
        preloaded: files that the runner imports by itself, so that a fork would not see edits.
        probed: whether the probe works with this project's runner.
        test: seconds a candidate's test may take.
        total: seconds a candidate's session may take.
        seconds: what measuring took.
    """

    failing: tuple[str, ...]
    passing: tuple[str, ...]
    places: tuple[Place, ...]
    traced: bool
    preloaded: tuple[str, ...]
    probed: bool
    test: float
    total: float
    seconds: float


def test_files(tests: Sequence[str]) -> tuple[str, ...]:
    """The files that test ids stand in."""
    return tuple(dict.fromkeys(t.split("::", 1)[0] for t in tests))


def named(test: str, failing: Sequence[str]) -> bool:
    """Whether a test is one of the failing ones, or inside one (a file, class or function)."""
    return any(test == f or test.startswith((f + "[", f + "::", f + "/")) for f in failing)


def measure(assignment: Assignment, driver: Driver, limits: SearchLimits) -> Baseline:
    """Run the tests as they are, once plain and once traced; by tracebacks if that fails."""
    common = Job("plain", stop=False, test=limits.test_seconds, total=BASE_TOTAL)
    jobs = [common, replace(common, id="traced", trace=True, test=limits.test_seconds / 2)]
    batch = driver.run(jobs, budget=2 * BASE_TOTAL, enough=len(jobs) + 1, full=True)
    found = {r.id: r for r in batch.results}
    plain = found.get("plain")
    if plain is None or not plain.tests:
        return _without_probe(assignment, limits, batch.seconds)
    failing = [t for t in plain.tests if t.outcome in FAILING and named(t.test, driver.first)]
    passing = [t for t in plain.tests if t.outcome is Outcome.PASSED]
    places = _spectrum(found.get("traced"), driver.first)
    messages = [t.message for t in failing[:MAX_MESSAGES]]
    by_traceback = from_traceback(messages, driver.sandbox.root, driver.files)
    longest = max((t.seconds for t in plain.tests if not t.timed_out), default=0.0)
    test = max(QUICKEST, 5.0 * longest)
    return Baseline(
        failing=tuple(t.test for t in failing),
        passing=tuple(t.test for t in passing),
        places=places or by_traceback,
        traced=bool(places),
        preloaded=batch.preloaded,
        probed=True,
        test=test,
        total=_total(plain.tests, test),
        seconds=batch.seconds,
    )


def _total(tests: Sequence[TestRun], test: float) -> float:
    used = sum(t.seconds for t in tests if not t.timed_out)
    return 5.0 + 3.0 * used + 2.0 * test


def _spectrum(traced: JobResult | None, first: Sequence[str]) -> tuple[Place, ...]:
    """Failing tests that nobody named may have causes of their own, so they are left out."""
    tests = traced.tests if traced else ()
    kept = [t for t in tests if t.outcome is Outcome.PASSED or named(t.test, first)]
    return from_spectrum(kept, test_files([t.test for t in kept]))


def _without_probe(assignment: Assignment, limits: SearchLimits, seconds: float) -> Baseline:
    """Another runner than pytest, or a project the probe cannot live in."""
    tests, failing = assignment.tests, assignment.task.failing_tests
    report = assignment.before or tests.run(assignment.sandbox, failing, timeout=BASE_TOTAL)
    texts = [*report.messages.values(), report.output]
    judging = [f for f in test_files(failing) if is_test_file(f)]
    return Baseline(
        failing=report.failing,
        passing=report.passing,
        places=from_traceback(texts[:MAX_MESSAGES], assignment.sandbox.root, judging),
        traced=False,
        preloaded=(),
        probed=False,
        test=limits.test_seconds,
        total=max(10.0, 3.0 * report.duration),
        seconds=seconds + report.duration,
    )
