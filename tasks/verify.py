"""The verifier: judges a patch by running it, in fresh sandboxes, from base and patch only.

Nothing that a solver's sandbox wrote is used; the workspace is made anew from the repository.
Order: the judged tests must fail at base; the patch is applied and judging files are put back;
the judged tests must pass; the tests that the change touches, then all others, must hold. All
of it is done `verify.repeats` times, in separate sandboxes, and the repeats must agree.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Self

from evo_agent.core.config import Config
from evo_agent.core.errors import EvoError, PatchDoesNotApplyError, PatchRefusedError
from evo_agent.core.git import open_repository
from evo_agent.core.protocols import Recorder
from evo_agent.core.types import (
    DiagnosisKind,
    FrozenTest,
    Grade,
    Outcome,
    Task,
    TestReport,
    Verdict,
)
from evo_agent.sandboxes.workspace import Workspace
from evo_agent.tasks.detect import Project
from evo_agent.tasks.environment import Environment, not_rebuilt
from evo_agent.tasks.fresh import Fresh
from evo_agent.tasks.frozen import unfit, write_frozen
from evo_agent.tasks.imports import ImportGraph, import_graph, is_test_support
from evo_agent.tasks.judging import compare, judging_files, put_back
from evo_agent.tasks.node_ids import outcome_of, unknown_tests
from evo_agent.tasks.reasons import (
    Trial,
    broken_verdict,
    flaky,
    holding,
    infrastructure,
    nothing_failed,
    rejected,
    still_failing,
)
from evo_agent.tasks.regressions import BaseReports, Batch, Comparison, batches
from evo_agent.tasks.syntax import syntax_error, unparsed
from evo_agent.tasks.testing import make_runner


@dataclass
class _Base:
    """What is known about a base commit; kept for the rounds of one run."""

    workspace: Workspace
    graph: ImportGraph
    reports: dict[tuple[str, ...], BaseReports] = field(default_factory=dict)
    before: dict[tuple[object, ...], TestReport] = field(default_factory=dict)


class FreshVerifier:
    """Implements core.protocols.Verifier.

    Args:
        project: how the project is tested, as detected at base.
        environment: its environment, built from base.
        config: verify.repeats, verify.seconds, and the sandbox's table.
        scratch: host folder for workspaces; what is put there is removed by `close`.
        recorder: gets a "test-report" event per run (when, run, counts, failing, …).
        progress: called with one line per run.
    """

    def __init__(
        self,
        project: Project,
        environment: Environment,
        config: Config,
        scratch: Path,
        *,
        recorder: Recorder | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        runner = make_runner(project, environment)
        self._project, self._config, self._scratch = project, config, scratch
        self._fresh = Fresh(environment, runner, config, scratch, recorder, progress)
        self._bases: dict[tuple[Path, str], _Base] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the workspaces."""
        for base in self._bases.values():
            shutil.rmtree(base.workspace.home.parent, ignore_errors=True)
        self._bases.clear()

    def verify(self, task: Task, patch: str, frozen_test: FrozenTest | None = None) -> Verdict:
        """Judge a patch (see core.protocols.Verifier)."""
        if not patch.strip():
            return rejected(DiagnosisKind.EMPTY_PATCH, "the patch is empty")
        try:
            self._scratch.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(
                dir=self._scratch, prefix="verdict-", ignore_cleanup_errors=True
            ) as folder:
                return self._judge(task, patch, frozen_test, Path(folder))
        except PatchDoesNotApplyError as error:
            return rejected(DiagnosisKind.PATCH_DOES_NOT_APPLY, error.cause)
        except PatchRefusedError as error:
            return rejected(DiagnosisKind.FORBIDDEN_EDIT, error.cause)
        except (EvoError, OSError) as error:
            return infrastructure(str(error))

    def _judge(self, task: Task, patch: str, frozen: FrozenTest | None, folder: Path) -> Verdict:
        base = self._base(task)
        patched = base.workspace.copy(folder / "patched")
        patched.apply(patch)
        touched = compare(base.workspace.folder, patched.folder)
        forbidden = (*touched.forbidden, *not_rebuilt(self._fresh.environment, touched.paths))
        if forbidden:
            return rejected(DiagnosisKind.FORBIDDEN_EDIT, "; ".join(forbidden))
        trial, before_tree = self._trial(task, frozen, base, folder)
        restored = self._put_back(base, patched.folder, touched.paths, trial)
        if trial.frozen is not None:
            write_frozen(patched.folder, trial.frozen)
        trial = replace(trial, changed=touched.paths, restored=restored)
        return self._run(base, before_tree, patched.folder, trial)

    def _base(self, task: Task) -> _Base:
        key = (task.repo, task.base)
        if key not in self._bases:
            folder = Path(tempfile.mkdtemp(dir=self._scratch, prefix="base-"))
            try:
                workspace = Workspace.create(open_repository(task.repo), task.base, folder / "w")
            except EvoError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            self._bases[key] = _Base(workspace, import_graph(workspace.folder))
        return self._bases[key]

    def _trial(
        self, task: Task, frozen: FrozenTest | None, base: _Base, folder: Path
    ) -> tuple[Trial, Path]:
        """Which tests judge, and the tree that they must fail in."""
        if task.failing_tests or frozen is None:
            return Trial(judged=task.failing_tests, grade=Grade.PROVED), base.workspace.folder
        before = base.workspace.copy(folder / "before")
        why_not = unfit(frozen)
        if not why_not:
            write_frozen(before.folder, frozen)
            if before.snapshot() != frozen.tree_at_freeze:
                why_not = "the test was not frozen before the code was changed"
        if why_not:
            return Trial(judged=(), grade=Grade.UNPROVED, note=why_not), base.workspace.folder
        return Trial((frozen.test_id,), Grade.REPRODUCED, frozen=frozen), before.folder

    def _put_back(
        self, base: _Base, patched: Path, touched: Sequence[str], trial: Trial
    ) -> tuple[str, ...]:
        files = {test.split("::", maxsplit=1)[0] for test in trial.judged}
        reached = {path for file in files for path in base.graph.reaches(file)}
        if self._project.runner == "command" and trial.judged:
            reached |= {path for path in touched if _looks_like_a_test(path)}
        paths = judging_files(touched, files | reached)
        put_back(base.workspace.folder, patched, paths)
        return paths

    def _run(self, base: _Base, before_tree: Path, patched: Path, trial: Trial) -> Verdict:
        if self._project.language == "python":
            suspects = unparsed(base.workspace.folder, patched, trial.changed)
            wrong = self._syntax_error(patched, suspects) if suspects else ""
            if wrong:
                return rejected(DiagnosisKind.SYNTAX_ERROR, wrong, trial)
        if trial.judged:
            verdict, trial = self._judged_tests(base, before_tree, patched, trial)
            if verdict is not None:
                return verdict
        return self._regressions(base, patched, trial)

    def _syntax_error(self, patched: Path, suspects: Sequence[str]) -> str:
        with self._fresh.sandbox(patched, 0) as sandbox:
            return syntax_error(sandbox, self._fresh.environment.python, suspects)

    def _judged_tests(
        self, base: _Base, before_tree: Path, patched: Path, trial: Trial
    ) -> tuple[Verdict | None, Trial]:
        """Before and after. A verdict when they settle it, and what is known now."""
        befores = self._repeat(before_tree, trial, "before", base)
        trial = replace(trial, before=befores[0])
        if unknown_tests(befores[0]):
            missing = unknown_tests(befores[0])
            lines = "; ".join(befores[0].messages[test] for test in missing)
            return nothing_failed(replace(trial, note=lines)), trial
        wobbling = _wobbling(befores, trial.judged)
        if wobbling:
            return flaky(trial, wobbling, "at base"), trial
        failed = tuple(t for t in trial.judged if _failed(befores[0], t))
        if trial.grade is Grade.REPRODUCED and _errors_only(befores[0], failed):
            note = "the frozen test could not be run at base, so it reproduces nothing"
            return None, replace(trial, failed_before=(), note=note)
        trial = replace(trial, failed_before=failed)
        afters = self._repeat(patched, trial, "after", None)
        trial = replace(trial, after=afters[0])
        wobbling = _wobbling(afters, trial.judged)
        if wobbling:
            return flaky(trial, wobbling, "with the patch"), trial
        not_passed = tuple(
            test for test in trial.judged if outcome_of(afters[0], test) is not Outcome.PASSED
        )
        skipped_before = {t for t in not_passed if t not in failed and not _passed(befores[0], t)}
        not_passed = tuple(test for test in not_passed if test not in skipped_before)
        return (still_failing(trial, not_passed) if not_passed else None), trial

    def _repeat(
        self, tree: Path, trial: Trial, when: str, keep: _Base | None
    ) -> tuple[TestReport, ...]:
        """Run the judged tests, each repeat in its own sandbox; a time-out is not repeated."""
        content = trial.frozen.content if trial.frozen else ""
        reports: list[TestReport] = []
        for repeat in range(max(1, self._config.verify.repeats)):
            key = (trial.judged, content, repeat)
            report = keep.before.get(key) if keep else None
            if report is None:
                with self._fresh.sandbox(tree, repeat) as sandbox:
                    report = self._fresh.run(
                        sandbox,
                        trial.judged,
                        timeout=self._config.sandbox.timeout,
                        when=when,
                        repeat=repeat,
                    )
            if keep is not None:
                keep.before[key] = report
            reports.append(report)
            if report.timed_out:
                break
        return tuple(reports)

    def _regressions(self, base: _Base, patched: Path, trial: Trial) -> Verdict:
        order: tuple[Batch, ...] = (None,)
        if self._project.runner == "pytest":
            order = batches(import_graph(patched), trial.changed)
        found = Comparison(
            self._fresh.without(trial.judged),
            base.workspace.folder,
            patched,
            base.reports.setdefault(trial.judged, {}),
            self._config.verify.seconds,
            max(1, self._config.verify.repeats),
        ).compare(order, trial.judged)
        trial = replace(trial, regressions=found)
        if found.broken or found.hung:
            return broken_verdict(trial)
        if found.unstable:
            return flaky(trial, found.unstable, "with the patch, though they passed at base")
        if not trial.failed_before:
            return nothing_failed(trial)
        return holding(trial)


def _looks_like_a_test(path: str) -> bool:
    """For languages whose imports are not read: by name and folder."""
    pure = PurePosixPath(path)
    named = any(word in ("test", "tests", "spec", "specs") for word in pure.name.split("."))
    folders = ("__tests__", "spec", "specs")
    return named or is_test_support(path) or any(part in folders for part in pure.parts[:-1])


def _failed(report: TestReport, test: str) -> bool:
    return outcome_of(report, test) in (Outcome.FAILED, Outcome.ERROR)


def _passed(report: TestReport, test: str) -> bool:
    return outcome_of(report, test) is Outcome.PASSED


def _errors_only(report: TestReport, failed: Sequence[str]) -> bool:
    errors = all(outcome_of(report, test) is Outcome.ERROR for test in failed)
    return bool(failed) and errors and not report.timed_out


def _wobbling(reports: Sequence[TestReport], tests: Sequence[str]) -> tuple[str, ...]:
    """Tests that passed in some runs and not in others."""
    return tuple(t for t in tests if len({_passed(report, t) for report in reports}) > 1)
