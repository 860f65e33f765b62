"""Whether a patch breaks anything: the same tests at base and with the patch, compared.

The tests that the change touches come first (import graph, nearest first), then all others,
in batches, within the time allowed. A test is broken when it passed at base in every repeat
and fails with the patch in every repeat; one that fails in some repeats only is unstable.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from evo_agent.core.protocols import Sandbox
from evo_agent.core.types import Outcome, TestReport
from evo_agent.tasks.fresh import Fresh
from evo_agent.tasks.imports import ImportGraph
from evo_agent.tasks.node_ids import matches

BATCH = 40  # files; a batch is the unit that a time-out loses
HANG_FACTOR = 3.0  # a batch that takes this much longer than at base, plus
HANG_SECONDS = 20.0  # this, was made to hang by the patch
_TESTS_RAN = (0, 1, 5)  # pytest's statuses after which a test missing from the report is gone

Batch = tuple[str, ...] | None  # None: the command's whole suite
BaseReports = dict[tuple[int, Batch], TestReport]


@dataclass(frozen=True, slots=True)
class Regressions:
    """What was found.

    Attributes:
        report: the first repeat's outcomes with the patch, all batches together.
        broken: passed at base and fail now, in every repeat.
        unstable: in some repeats only.
        gone: passed at base and are no longer there, or are skipped, with the patch.
        hung: whether a batch ran out of time with the patch though it had not at base.
        not_run: why tests were left out; empty when all were run.
    """

    report: TestReport | None = None
    broken: tuple[str, ...] = ()
    unstable: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    hung: bool = False
    not_run: str = ""


@dataclass
class Comparison:
    """Runs batches in both trees and keeps what each repeat said.

    Attributes:
        fresh: how runs are made.
        base: tree at base.
        patched: tree with the patch, judging files put back.
        base_reports: outcomes at base by repeat and batch; filled here, kept by the caller.
        seconds: for everything together.
        repeats: how often.
    """

    fresh: Fresh
    base: Path
    patched: Path
    base_reports: BaseReports
    seconds: float
    repeats: int
    _after: dict[tuple[int, Batch], TestReport] = field(default_factory=dict)
    _endless: int = 0
    _late: int = 0
    _hung: bool = False

    def compare(self, batches: Sequence[Batch], judged: Sequence[str]) -> Regressions:
        """Run the batches, and compare all tests but the judged ones."""
        start = time.monotonic()
        done: Sequence[Batch] = batches
        left = 0
        for repeat in range(self.repeats):
            until = start + self.seconds * (repeat + 1) / self.repeats
            done = self._repeat(repeat, done, until)
            left = max(left, self._late)
            if self._hung:
                break
        return self._found(done, judged, left)

    def _repeat(self, repeat: int, batches: Sequence[Batch], until: float) -> list[Batch]:
        """One repeat; gives the batches that were run in both trees."""
        done: list[Batch] = []
        queue = deque(batches)
        with _Pair(self, repeat) as pair:
            while queue and not self._hung:
                left = until - time.monotonic()
                if left <= 0:
                    break
                batch = queue.popleft()
                several = batch is not None and len(batch) > 1
                before = pair.at_base(batch, left / 2 if several else left)
                if before.timed_out:
                    # One test that hangs at base must not cost the others: file by file, last.
                    queue.extend((path,) for path in batch or () if several)
                    self._endless += not several
                    continue
                allowed = before.duration * HANG_FACTOR + HANG_SECONDS
                after = pair.run(self.patched, batch, allowed, "regressions with the patch")
                self._after[repeat, batch] = after
                self._hung = after.timed_out
                done.append(batch)
        self._late = len(queue)
        return done

    def _found(self, done: Sequence[Batch], judged: Sequence[str], left: int) -> Regressions:
        keys = [batch for batch in done if (0, batch) in self._after]
        repeats = [r for r in range(self.repeats) if all((r, b) in self._after for b in keys)]
        broken = [self._broken(r, keys, judged) for r in repeats]
        steady = self._steady(repeats, keys)
        every = set.intersection(*broken) & steady if broken else set()
        some = set.union(*broken) & steady if broken else set()
        gone = self._gone(keys, judged) & steady if repeats else set()
        return Regressions(
            report=_merged([self._after[0, batch] for batch in keys]),
            broken=tuple(sorted(every)),
            unstable=tuple(sorted(some - every)),
            gone=tuple(sorted(gone - some)),
            hung=self._hung,
            not_run=self._left_out(left),
        )

    def _left_out(self, left: int) -> str:
        if self._hung:
            return ""
        late = f"{left} batches of tests did not fit into {self.seconds:.0f} s (verify.seconds)"
        endless = f"{self._endless} test files do not end at base"
        return "; ".join(([late] if left else []) + ([endless] if self._endless else []))

    def _steady(self, repeats: Sequence[int], batches: Sequence[Batch]) -> set[str]:
        """Tests that passed at base in every repeat; others prove nothing about the patch."""
        passed = [
            {test for batch in batches for test in self.base_reports[repeat, batch].passing}
            for repeat in repeats
        ]
        return set.intersection(*passed) if passed else set()

    def _broken(self, repeat: int, batches: Sequence[Batch], judged: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for batch in batches:
            before, after = self.base_reports[repeat, batch], self._after[repeat, batch]
            crashed = batch is not None and after.exit_code not in _TESTS_RAN
            for test in before.passing:
                outcome = after.outcomes.get(test)
                missing = outcome is None and (crashed or after.timed_out)
                unread = outcome is None and _module_failed(test, after.outcomes)
                if outcome in (Outcome.FAILED, Outcome.ERROR) or missing or unread:
                    found.add(test)
        return {test for test in found if not any(matches(asked, test) for asked in judged)}

    def _gone(self, batches: Sequence[Batch], judged: Sequence[str]) -> set[str]:
        found = {
            test
            for batch in batches
            for test in self.base_reports[0, batch].passing
            if self._after[0, batch].outcomes.get(test) in (None, Outcome.SKIPPED)
        }
        return {test for test in found if not any(matches(asked, test) for asked in judged)}


class _Pair(ExitStack):
    """The two sandboxes of one repeat, opened when they are first needed."""

    def __init__(self, comparison: Comparison, repeat: int) -> None:
        super().__init__()
        self._comparison, self._repeat = comparison, repeat
        self._open: dict[Path, Sandbox] = {}

    def at_base(self, batch: Batch, timeout: float) -> TestReport:
        """A batch's report at base, run only once."""
        comparison = self._comparison
        kept = comparison.base_reports.get((self._repeat, batch))
        if kept is None:
            kept = self.run(comparison.base, batch, timeout, "regressions at base")
            comparison.base_reports[self._repeat, batch] = kept
        return kept

    def run(self, tree: Path, batch: Batch, timeout: float, when: str) -> TestReport:
        """Run a batch, without the files that the tree does not have."""
        files = None if batch is None else [path for path in batch if (tree / path).is_file()]
        if files is not None and not files:
            return TestReport(command="", exit_code=0, outcomes={})
        fresh = self._comparison.fresh
        if tree not in self._open:
            self._open[tree] = self.enter_context(fresh.sandbox(tree, self._repeat))
        sandbox = self._open[tree]
        return fresh.run(sandbox, files, timeout=timeout, when=when, repeat=self._repeat)


def batches(graph: ImportGraph, changed: Sequence[str], size: int = BATCH) -> tuple[Batch, ...]:
    """Test files in the order in which they are run: those that the change touches first."""
    touched = graph.touched(changed)
    rest = [path for path in graph.tests if path not in set(touched)]
    groups = [part for part in (list(touched), rest) if part]
    return tuple(
        tuple(group[start : start + size])
        for group in groups
        for start in range(0, len(group), size)
    )


def _module_failed(test: str, outcomes: Mapping[str, Outcome]) -> bool:
    """Whether the file of a test could not be collected."""
    return outcomes.get(test.split("::", maxsplit=1)[0]) is Outcome.ERROR


def _merged(reports: Sequence[TestReport]) -> TestReport | None:
    """Reports of several batches as one; the first one's command stands for all."""
    if not reports:
        return None
    merged = reports[0]
    for report in reports[1:]:
        merged = replace(
            merged,
            outcomes={**merged.outcomes, **report.outcomes},
            messages={**merged.messages, **report.messages},
            exit_code=max(merged.exit_code, report.exit_code),
            duration=merged.duration + report.duration,
            timed_out=merged.timed_out or report.timed_out,
        )
    return merged
