"""Verdicts in words: what a trial found, as a grade, one line, and a typed diagnosis."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evo_agent.core.types import (
    Diagnosis,
    DiagnosisKind,
    FrozenTest,
    Grade,
    Outcome,
    TestReport,
    Verdict,
)
from evo_agent.tasks.node_ids import matches, outcome_of
from evo_agent.tasks.regressions import Regressions

EXCERPT_CHARS = 3000
NAMES_SHOWN = 5

_MISSING_MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
_IMPORT = re.compile(r"\b(ImportError|ModuleNotFoundError)\b")
_SYNTAX = re.compile(r"\b(SyntaxError|IndentationError|TabError)\b")


@dataclass(frozen=True, slots=True)
class Trial:
    """What is known so far about one patch.

    Attributes:
        judged: ids of the tests that decide.
        grade: what they earn when they fail before and pass after.
        frozen: the solver's frozen test, when it is that which judges.
        changed: paths that the patch touches.
        restored: those of them that were put back.
        before: the judged tests at base, first repeat.
        after: likewise, with the patch.
        failed_before: judged tests that failed at base.
        regressions: all other tests.
        note: something that the reason must say.
    """

    judged: tuple[str, ...]
    grade: Grade
    frozen: FrozenTest | None = None
    changed: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    before: TestReport | None = None
    after: TestReport | None = None
    failed_before: tuple[str, ...] = ()
    regressions: Regressions = field(default_factory=Regressions)
    note: str = ""


def rejected(kind: DiagnosisKind, detail: str, trial: Trial | None = None) -> Verdict:
    """The patch is not accepted, before or instead of running tests."""
    return _verdict(trial, Grade.REJECTED, detail, Diagnosis(kind, detail))


def infrastructure(cause: str) -> Verdict:
    """Nothing is known about the patch."""
    diagnosis = Diagnosis(DiagnosisKind.INFRASTRUCTURE, cause)
    return Verdict(Grade.INFRASTRUCTURE, f"could not be verified: {cause}", diagnosis=diagnosis)


def flaky(trial: Trial, tests: Sequence[str], where: str) -> Verdict:
    """Repeats disagree."""
    reason = f"flaky: {names(tests)} pass in some runs and fail in others {where}"
    diagnosis = Diagnosis(DiagnosisKind.FLAKY, reason, tuple(tests))
    return _verdict(trial, Grade.FLAKY, reason, diagnosis)


def nothing_failed(trial: Trial) -> Verdict:
    """Regressions hold, but no test failed before."""
    reason = trial.note or (
        f"{names(trial.judged)} did not fail at base"
        if trial.judged
        else "no test that failed before says that it is fixed"
    )
    diagnosis = Diagnosis(DiagnosisKind.NOTHING_FAILED_BEFORE, reason, trial.judged)
    return _verdict(trial, Grade.UNPROVED, f"{reason}; {_held(trial)}", diagnosis)


def holding(trial: Trial) -> Verdict:
    """Judged tests failed before and pass now, and nothing else broke."""
    count = len(trial.failed_before)
    parts = [
        f"{count} failing test{'s pass' if count > 1 else ' passes'} now",
        _held(trial),
        *_caveats(trial),
    ]
    return _verdict(trial, trial.grade, "; ".join(parts), None)


def still_failing(trial: Trial, tests: Sequence[str]) -> Verdict:
    """Judged tests do not pass with the patch."""
    assert trial.before is not None
    assert trial.after is not None
    missing = _missing_dependency(trial.before, trial.after, tests)
    if missing:
        return infrastructure(
            f"{names(tests)} cannot be run: the environment has no module {missing}"
        )
    kind, detail = _why_failing(trial.after, tests)
    excerpt = _excerpt(trial.after, tests)
    return _verdict(trial, Grade.REJECTED, detail, Diagnosis(kind, detail, tuple(tests), excerpt))


def broken_verdict(trial: Trial) -> Verdict:
    """Other tests passed at base and fail now, or no longer end."""
    found = trial.regressions
    report = found.report or TestReport("", 0, {})
    if found.hung:
        kind, detail = DiagnosisKind.TIMEOUT, "tests that ended at base do not end with the patch"
    else:
        kind = DiagnosisKind.REGRESSION
        detail = f"{names(found.broken)} passed at base and {_fails(found.broken)} with the patch"
    excerpt = _excerpt(report, found.broken)
    return _verdict(trial, Grade.REJECTED, detail, Diagnosis(kind, detail, found.broken, excerpt))


def names(tests: Sequence[str]) -> str:
    """A few names, and how many more there are."""
    shown = ", ".join(tests[:NAMES_SHOWN])
    more = len(tests) - NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _verdict(
    trial: Trial | None, grade: Grade, reason: str, diagnosis: Diagnosis | None
) -> Verdict:
    if trial is None:
        return Verdict(grade, reason, diagnosis=diagnosis)
    return Verdict(
        grade=grade,
        reason=reason,
        before=trial.before,
        after=trial.after,
        regressions=trial.regressions.report,
        broken=trial.regressions.broken,
        restored=trial.restored,
        diagnosis=diagnosis,
        tests_not_run=trial.regressions.not_run,
    )


def _held(trial: Trial) -> str:
    report = trial.regressions.report
    others = [t for t in (report.passing if report else ()) if not _any(trial.judged, t)]
    return f"{len(others)} other tests hold" if others else "there are no other passing tests"


def _caveats(trial: Trial) -> list[str]:
    found = []
    if trial.restored:
        found.append(f"put back to base before judging: {names(trial.restored)}")
    if trial.before is not None and trial.before.timed_out:
        found.append("at base they ran out of time")
    missing = trial.before and _missing_modules(trial.before, trial.failed_before)
    if missing:
        found.append(f"at base they could not be run at all: no module {', '.join(missing)}")
    elif trial.before is not None and _all_errors(trial.before, trial.failed_before):
        found.append("at base they could not be run at all (error before the test)")
    if trial.regressions.gone:
        found.append(f"no longer run: {names(trial.regressions.gone)}")
    if trial.regressions.not_run:
        found.append(trial.regressions.not_run)
    return found


def _all_errors(report: TestReport, tests: Sequence[str]) -> bool:
    return not report.timed_out and all(outcome_of(report, t) is Outcome.ERROR for t in tests)


def _why_failing(after: TestReport, tests: Sequence[str]) -> tuple[DiagnosisKind, str]:
    if after.timed_out:
        return DiagnosisKind.TIMEOUT, f"{names(tests)} ran out of time ({after.duration:.0f} s)"
    outcomes = [outcome_of(after, test) for test in tests]
    text = "\n".join(_messages(after, tests).values())
    if Outcome.ERROR in outcomes and _SYNTAX.search(text):
        return DiagnosisKind.SYNTAX_ERROR, f"{names(tests)} cannot be run: a syntax error"
    if Outcome.ERROR in outcomes and _IMPORT.search(text):
        line = next(line for line in text.splitlines() if _IMPORT.search(line))
        return DiagnosisKind.IMPORT_ERROR, f"{names(tests)} cannot be imported: {line.strip()}"
    if all(outcome in (None, Outcome.SKIPPED) for outcome in outcomes):
        return DiagnosisKind.STILL_FAILING, f"{names(tests)} did not run with the patch (skipped)"
    return DiagnosisKind.STILL_FAILING, f"{names(tests)} still {_fails(tests)}"


def _missing_dependency(before: TestReport, after: TestReport, tests: Sequence[str]) -> str:
    """A module that is missing at base and with the patch alike: then nothing is known."""
    both = set(_missing_modules(before, tests)) & set(_missing_modules(after, tests))
    errors = all(outcome_of(after, test) is Outcome.ERROR for test in tests)
    return ", ".join(sorted(both)) if errors else ""


def _missing_modules(report: TestReport, tests: Sequence[str]) -> list[str]:
    text = "\n".join(
        message
        for test, message in _messages(report, tests).items()
        if report.outcomes.get(test) is Outcome.ERROR
    )
    return sorted(set(_MISSING_MODULE.findall(text)))


def _messages(report: TestReport, tests: Sequence[str]) -> Mapping[str, str]:
    return {
        test: message
        for test, message in report.messages.items()
        if _any(tests, test) or any(asked.startswith(f"{test}::") for asked in tests)
    }


def _excerpt(report: TestReport, tests: Sequence[str]) -> str:
    found = _messages(report, tests)
    text = "\n\n".join(f"{test}\n{message}" for test, message in found.items()) or report.output
    return text[:EXCERPT_CHARS]


def _any(asked: Sequence[str], test: str) -> bool:
    return any(matches(one, test) for one in asked)


def _fails(tests: Sequence[str]) -> str:
    return "fail" if len(tests) > 1 else "fails"
