"""What several tests of memory need: patches, verdicts, runs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evo_agent.core.types import (
    Candidate,
    Grade,
    Issue,
    Outcome,
    Task,
    TestReport,
    Verdict,
)
from evo_agent.memory.lifecycle.facts import RunFacts
from evo_agent.memory.store import Memory

PATCH = """\
diff --git a/algo/bitcount.py b/algo/bitcount.py
index 1111111..2222222 100644
--- a/algo/bitcount.py
+++ b/algo/bitcount.py
@@ -1,5 +1,5 @@ def bitcount(n):
     count = 0
     while n:
-        n ^= n - 1
+        n &= n - 1
         count += 1
"""
TEST = "tests/test_bitcount.py::test_bitcount"

MakeRun = Callable[..., RunFacts]


def report(*, failing: bool) -> TestReport:
    """One test's report."""
    outcome = Outcome.FAILED if failing else Outcome.PASSED
    message = "def test_bitcount():\nE   TimeoutError: bitcount did not return"
    return TestReport(
        command=f"python -m pytest {TEST}",
        exit_code=int(failing),
        outcomes={TEST: outcome},
        messages={TEST: message} if failing else {},
    )


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Make the facts of a run: run, repo, task id, grade and cited ids matter to tests."""

    def make(
        run: str = "r1",
        *,
        repo: str = "repo-a",
        task: str = "task-1",
        grade: Grade = Grade.PROVED,
        cited: tuple[str, ...] = (),
        event: int | None = 7,
        patch: str = PATCH,
        title: str = "bitcount never returns",
        log: Path | None = None,
    ) -> RunFacts:
        root = tmp_path / repo
        root.mkdir(exist_ok=True)
        text = "Calling bitcount(127) loops for ever: test_bitcount times out."
        facts = {
            "operators": ["swap-bitwise"],
            "location": {"path": "algo/bitcount.py", "function": "bitcount", "line": 4},
            "before": "n ^= n - 1",
            "after": "n &= n - 1",
        }
        return RunFacts(
            run=run,
            repo=repo,
            task=Task(task, root, "a" * 40, Issue(title, text), (TEST,)),
            verdict=Verdict(
                grade, "as judged", before=report(failing=True), after=report(failing=False)
            ),
            verdict_event=event,
            candidate=Candidate(patch, note="swapped", cited=cited, facts=facts),
            recalled=cited,
            time=1_700_000_000.0,
            log=log,
        )

    return make


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    """An empty memory."""
    with Memory.open(tmp_path / "memory") as opened:
        yield opened
