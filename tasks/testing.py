"""Runs a project's tests inside a sandbox: pytest, or any command that a configuration names.

Hash seeds: neither runner sets PYTHONHASHSEED. The sandbox's environment does, so that a
report is the same twice (seed 0 while solving) and the verifier can still vary it from one
repeat to the next; see tasks.verify.
"""

import json
import shlex
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evo_agent.core.errors import EnvironmentBuildError
from evo_agent.core.protocols import Sandbox
from evo_agent.core.types import CommandResult, Outcome, TestReport
from evo_agent.tasks.detect import Project
from evo_agent.tasks.environment import Environment
from evo_agent.tasks.junit import MAX_BYTES, Case, ReportError, read_junit, worst
from evo_agent.tasks.launcher import LAUNCHER, agree, closing_line
from evo_agent.tasks.node_ids import matches, no_such_test, node_id

NO_PYTEST = 97  # status of the launcher when pytest cannot be imported
PYTEST_USAGE = 4  # pytest.ExitCode.USAGE_ERROR: an id was not found, or an option is unknown
TAIL_CHARS = 4000
TIMED_OUT = "timed out"
_TESTS_RAN = (0, 1, 5)  # pytest's: passed, some failed, none collected

_OPTIONS = (
    "-q --rootdir=. --maxfail=0 --continue-on-collection-errors --tb=short -o junit_family=xunit1"
)


@dataclass(frozen=True, slots=True)
class PytestRunner:
    """pytest, its outcomes taken from a JUnit report at an unguessable path outside the tree.

    Attributes:
        python: the interpreter inside the sandbox that has pytest.
        without: ids that are left out of every run.
    """

    python: str = "python3"
    without: tuple[str, ...] = ()

    def command(self, tests: Sequence[str] | None = None) -> str:
        """The command a person would type."""
        return " ".join([self.python, "-m pytest -q", *map(shlex.quote, tests or ())])

    def run(
        self, sandbox: Sandbox, tests: Sequence[str] | None = None, *, timeout: float = 600.0
    ) -> TestReport:
        """Run node ids or files, or everything when None; unknown ids become errors.

        Raises:
            EnvironmentBuildError: the environment has no pytest.
            SandboxError: the sandbox died.
        """
        asked = tuple(tests or ())
        report = self._once(sandbox, asked, timeout)
        if report.exit_code != PYTEST_USAGE or report.timed_out or not asked:
            return report
        known = self.collect(sandbox, timeout=timeout)
        missing = [test for test in asked if not _exists(test, known)]
        if not missing:  # another usage error, or modules that cannot be collected
            return report
        present = [test for test in asked if test not in missing]
        if present:
            report = self._once(sandbox, tuple(present), timeout)
        lines = {test: no_such_test(known, test) for test in missing}
        return _with_unknown(report if present else None, report, lines)

    def collect(self, sandbox: Sandbox, *, timeout: float = 600.0) -> tuple[str, ...]:
        """Node ids of the whole suite, and the files that could not be collected."""
        listing = f"/tmp/{uuid.uuid4().hex}.txt"  # noqa: S108 - the sandbox's own /tmp
        options = "-q --rootdir=. --collect-only --continue-on-collection-errors"
        command = self._launch(options.split(), into=f"> {listing} 2>/dev/null")
        sandbox.exec(command, timeout=timeout)
        lines = (_read(sandbox, listing) or b"").decode(errors="replace").splitlines()
        broken = [line[6:].split(" - ")[0] for line in lines if line.startswith("ERROR ")]
        return tuple([line for line in lines if "::" in line and ".py" in line] + broken)

    def _launch(
        self, options: Sequence[str], report: Sequence[str] = (), word: str = "", into: str = ""
    ) -> str:
        """The launcher with its job on stdin; one line of JSON, which a here-document holds."""
        job = {"options": options, "report": report, "without": self.without, "word": word}
        program = f"{self.python} -c {shlex.quote(LAUNCHER)} {into}"
        return f"{program} <<'EVO_JOB'\n{json.dumps(job)}\nEVO_JOB"

    def _once(self, sandbox: Sandbox, asked: tuple[str, ...], timeout: float) -> TestReport:
        report = f"/tmp/{uuid.uuid4().hex}.xml"  # noqa: S108 - the sandbox's own /tmp
        word = f"evo-{uuid.uuid4().hex}"
        # A cache elsewhere, not `-p no:cacheprovider`: with that, a project whose configuration
        # says `--ff` or `--lf` could not be run.
        options = [*_OPTIONS.split(), "-o", f"cache_dir=/tmp/{uuid.uuid4().hex}", *asked]
        command = self._launch(options, [f"--junitxml={report}"], word)
        done = sandbox.exec(command, timeout=timeout)
        done, closing = closing_line(done, word)
        if done.exit_code == NO_PYTEST:
            raise EnvironmentBuildError(
                f"the environment has no pytest: {done.output.strip()[-200:]}",
                "name commands that install it in sandbox.setup, or a command in sandbox.test",
            )
        files = tuple(dict.fromkeys(test.split("::")[0] for test in asked))
        found = _cases(sandbox, report)
        status = closing[0] if closing and done.timed_out else done.exit_code
        if not agree(closing, status, found):  # (a thread may hang after pytest's end)
            found = None  # what ended the run, or wrote the report, was not pytest
        cases = [case for case in found or () if case.name]  # a run cut short leaves one without
        outcomes, messages = _outcomes([node_id(case, files) for case in cases], cases)
        if found is None or done.timed_out or done.exit_code not in _TESTS_RAN:
            _fill(asked or (self.command(),), Outcome.ERROR, done, outcomes, messages)
        else:  # a file without tests is no error, a test that is not in the report is
            nodes = [test for test in asked if "::" in test]
            _fill(nodes, Outcome.ERROR, done, outcomes, messages)
        return _report(self.command(asked), done, outcomes, messages)


@dataclass(frozen=True, slots=True)
class CommandRunner:
    """A test command of any language, judged by its exit status or its JUnit report.

    Attributes:
        test: runs the whole suite.
        test_one: runs `{tests}` (ids, shell-quoted); empty: `test` is run instead.
        report: JUnit file that the command writes, relative to the root; empty for none.
    """

    test: str
    test_one: str = ""
    report: str = ""

    def command(self, tests: Sequence[str] | None = None) -> str:
        """The command as it is run."""
        if not tests or not self.test_one:
            return self.test
        quoted = " ".join(map(shlex.quote, tests))
        if "{tests}" in self.test_one:
            return self.test_one.replace("{tests}", quoted)
        return f"{self.test_one} {quoted}"

    def run(
        self, sandbox: Sandbox, tests: Sequence[str] | None = None, *, timeout: float = 600.0
    ) -> TestReport:
        """Run the command. Without a report there is one entry per id asked for, or one in all.

        Raises:
            SandboxError: the sandbox died.
        """
        asked = tuple(tests or ())
        command = self.command(asked)
        if self.report:
            sandbox.exec(f"rm -f -- {shlex.quote(self.report)}")
        done = sandbox.exec(command, timeout=timeout)
        cases = (_cases(sandbox, self.report) if self.report else None) or ()
        outcomes, messages = _outcomes([_generic_id(case) for case in cases], cases)
        status = Outcome.FAILED if done.exit_code else Outcome.PASSED
        if asked or not outcomes or done.timed_out:
            status = Outcome.ERROR if done.timed_out else status
            _fill(asked or (command,), status, done, outcomes, messages)
        return _report(command, done, outcomes, messages)


def _generic_id(case: Case) -> str:
    parts = (case.file or case.classname, *case.suites[1:], case.name)
    return "::".join(part for part in parts if part)


def _cases(sandbox: Sandbox, path: str) -> tuple[Case, ...] | None:
    """The report's cases; None when there is no report that can be read."""
    data = _read(sandbox, path)
    try:
        return None if data is None else read_junit(data)
    except ReportError:
        return None


def _read(sandbox: Sandbox, path: str) -> bytes | None:
    """A file that the sandbox wrote, unless it is missing or larger than a report may be."""
    size = sandbox.exec(f"stat -L -c %s -- {shlex.quote(path)}").output.strip()
    if not size.isdigit() or int(size) > MAX_BYTES:
        return None
    try:
        return sandbox.read(path)
    except FileNotFoundError:
        return None


def _outcomes(
    ids: Sequence[str], cases: Sequence[Case]
) -> tuple[dict[str, Outcome], dict[str, str]]:
    outcomes: dict[str, Outcome] = {}
    messages: dict[str, str] = {}
    for test, case in zip(ids, cases, strict=True):
        outcomes[test] = worst(outcomes.get(test, case.outcome), case.outcome)
        if case.message and case.outcome in (Outcome.FAILED, Outcome.ERROR):
            messages[test] = f"{messages.get(test, '')}\n{case.message}".strip()
    return outcomes, messages


def _fill(
    asked: Sequence[str],
    outcome: Outcome,
    done: CommandResult,
    outcomes: dict[str, Outcome],
    messages: dict[str, str],
) -> None:
    """Give ids that the report does not name an outcome, and say why."""
    for test in asked:
        if any(matches(test, seen) for seen in outcomes):
            continue
        outcomes[test] = outcome
        if outcome is not Outcome.PASSED:
            messages[test] = messages.get(test.split("::")[0]) or _why(done)


def _why(done: CommandResult) -> str:
    if done.timed_out:
        return f"{TIMED_OUT} after {done.duration:.0f} s"
    return f"exit status {done.exit_code}\n{done.output.strip()[-TAIL_CHARS:]}"


def _exists(asked: str, known: Sequence[str]) -> bool:
    return any(matches(asked, test) or asked.startswith(f"{test}::") for test in known)


def _with_unknown(
    report: TestReport | None, last: TestReport, lines: Mapping[str, str]
) -> TestReport:
    outcomes = dict(report.outcomes) if report else {}
    messages = dict(report.messages) if report else {}
    outcomes.update(dict.fromkeys(lines, Outcome.ERROR))
    messages.update(lines)
    return replace(last, outcomes=outcomes, messages=messages)


def _report(
    command: str, done: CommandResult, outcomes: Mapping[str, Outcome], messages: Mapping[str, str]
) -> TestReport:
    return TestReport(
        command=command,
        exit_code=done.exit_code,
        outcomes=outcomes,
        output=done.output,
        duration=done.duration,
        timed_out=done.timed_out,
        messages=messages,
    )


def make_runner(project: Project, environment: Environment) -> PytestRunner | CommandRunner:
    """The runner of a project in its environment."""
    if project.runner == "command":
        return CommandRunner(project.test, project.test_one, project.report)
    return PytestRunner(environment.python)
