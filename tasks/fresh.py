"""Fresh runs: every run of tests gets a new copy of a tree and a new sandbox."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from evo_agent.core.config import Config
from evo_agent.core.protocols import Recorder, Sandbox, TestRunner
from evo_agent.core.types import Outcome, TestReport
from evo_agent.sandboxes.select import open_sandbox
from evo_agent.tasks.environment import Environment
from evo_agent.tasks.testing import PytestRunner

NAMES_LOGGED = 50


@dataclass(frozen=True)
class Fresh:
    """Runs tests on trees that the host alone has written.

    Attributes:
        environment: of the project at base.
        runner: how tests are run.
        config: sandbox backend, limits and variables.
        scratch: host folder for copies, removed after each run.
        recorder: is told of every run.
        progress: is told too, in words.
    """

    environment: Environment
    runner: TestRunner
    config: Config
    scratch: Path
    recorder: Recorder | None = None
    progress: Callable[[str], None] = field(default=lambda _: None)

    def without(self, tests: Sequence[str]) -> "Fresh":
        """The same, leaving tests out of every run, where the runner can."""
        if not tests or not isinstance(self.runner, PytestRunner):
            return self
        return replace(self, runner=replace(self.runner, without=tuple(tests)))

    @contextmanager
    def sandbox(self, tree: Path, repeat: int) -> Iterator[Sandbox]:
        """A sandbox on a copy of a tree.

        The hash seed is the number of the repeat: repeats differ in it, so that a fix that
        holds only for one order of a set is found out, and the same repeat is the same twice.
        """
        self.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=self.scratch, prefix="fresh-", ignore_cleanup_errors=True
        ) as folder:
            copy = Path(folder) / "tree"
            shutil.copytree(tree, copy, symlinks=True)
            self.environment.carry_into(copy)
            spec = self.environment.spec(copy, self.config, PYTHONHASHSEED=str(repeat))
            with open_sandbox(spec, None, self.config.sandbox.backend) as sandbox:
                yield sandbox

    def run(
        self,
        sandbox: Sandbox,
        tests: Sequence[str] | None,
        *,
        timeout: float,
        when: str,
        repeat: int,
    ) -> TestReport:
        """Run tests and report them; `when` says what for, in one word or two."""
        report = self.runner.run(sandbox, tests, timeout=timeout)
        counts = counted(report)
        self.progress(f"{when}, run {repeat + 1}: {said(counts)} in {report.duration:.1f} s")
        if self.recorder is not None:
            self.recorder.emit(
                "test-report",
                when=when,
                run=repeat + 1,
                command=report.command,
                exit_code=report.exit_code,
                counts=counts,
                failing=list(report.failing[:NAMES_LOGGED]),
                duration=report.duration,
                timed_out=report.timed_out,
            )
        return report


def counted(report: TestReport) -> dict[str, int]:
    """How many tests had which outcome; outcomes that no test had are left out."""
    found = list(report.outcomes.values())
    return {outcome.value: found.count(outcome) for outcome in Outcome if outcome in found}


def said(counts: dict[str, int]) -> str:
    """Counts as words: "3 passed, 1 failed"."""
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "no tests"
