"""The repair solver over the log of a run that stopped: the same decisions, wherever it stopped."""

import shutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from evo_agent.core.config import LimitsConfig
from evo_agent.core.confinement import Mount, SandboxSpec
from evo_agent.core.events import RunLog, read_events
from evo_agent.core.git import open_repository
from evo_agent.core.protocols import Assignment
from evo_agent.core.recorded import RecordedSandbox, RecordedTests
from evo_agent.core.repair import RepairSolver, SearchLimits
from evo_agent.core.types import Candidate, Issue, Query, Recalled, Task
from evo_agent.sandboxes.select import open_sandbox
from evo_agent.sandboxes.workspace import Workspace
from evo_agent.tasks.testing import PytestRunner

pytestmark = pytest.mark.bubblewrap

LIMITS = SearchLimits(plausible=2, further=10, further_seconds=1.5, test_seconds=0.5, batch=1)
TEST = "test_price.py::test_large_orders"
FILES = {
    "price.py": textwrap.dedent("""\
        def shipping(total, weight):
            base = 5 + weight * 2
            if weight > 20:
                base = base + 10
            if total > 50:
                return 0
            return base
        """),
    "test_price.py": textwrap.dedent("""\
        from price import shipping

        def test_large_orders():
            assert shipping(50, 1) == 0
            assert shipping(80, 30) == 0
            assert shipping(49, 1) == 7
            assert shipping(49, 21) == 57
        """),
    ".gitignore": "__pycache__/\n.pytest_cache/\n",
}


class Nothing:
    """A memory that holds nothing."""

    def recall(self, query: Query) -> tuple[Recalled, ...]:
        del query
        return ()


def solve(repo: Path, log: RunLog, home: Path, limits: SearchLimits = LIMITS) -> Candidate:
    """One round in a sandbox of its own, in the tree as it was left, with an empty /tmp."""
    repository = open_repository(repo)
    if home.exists():
        tree = Workspace.open(repository, home)
    else:
        tree = Workspace.create(repository, "HEAD", home)
    base = tree.host.text("rev-parse", "HEAD^{tree}")
    homes = {sys.prefix, sys.base_prefix} - {"/usr"}  # which every sandbox shows already
    mounts = tuple(Mount(Path(home), home) for home in sorted(homes))
    quiet = {"PYTHONDONTWRITEBYTECODE": "1"}
    with open_sandbox(SandboxSpec(tree.folder, mounts=mounts, env=quiet), tree, "bubblewrap") as s:
        sandbox = RecordedSandbox(s, log, base=base)
        runner = RecordedTests(PytestRunner(sys.executable))
        task = Task("t1", repo, repository.head, Issue("too dear", ""), (TEST,))
        assignment = Assignment(task, sandbox, runner, (), Nothing(), log)
        return RepairSolver(limits).solve(assignment)


def told(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True)


def test_it_goes_on_from_any_event_to_the_same_patch(
    repo_factory: Callable[..., Path], tmp_path: Path
):
    """Among the points: right after a batch was run, when nothing but the log knows its results."""
    repo = repo_factory((FILES, "shop"))
    with RunLog.create(tmp_path / "run") as log:
        whole = solve(repo, log, tmp_path / "w")
    assert "+    if total >= 50:" in whole.patch
    lines = told(tmp_path / "run" / "events.jsonl")
    batches = [n for n, line in enumerate(lines) if "evo-probe" in line and '"rm -f ' in line]
    assert len(batches) >= 3, "more than one batch of candidates"
    points = (batches[0] + 1, batches[0] + 2, batches[1], batches[-1] + 2, len(lines) - 2)
    for point in points:
        folder = tmp_path / f"run-{point}"
        shutil.copytree(tmp_path / "run", folder)
        (folder / "events.jsonl").write_text("".join(lines[:point]))
        with RunLog.reopen(folder) as log:
            again = solve(repo, log, tmp_path / "w")
        assert again.patch == whole.patch
        results = [e.data["call"] for e in read_events(folder) if e.kind.endswith("-result")]
        assert len(results) == len(set(results)), "nothing was done twice"


def test_a_whole_log_is_answered_without_running_anything(
    repo_factory: Callable[..., Path], tmp_path: Path
):
    """Time is taken from the recorded results, so the same candidate costs the same again."""
    repo = repo_factory((FILES, "shop"))
    with RunLog.create(tmp_path / "run") as log:
        whole = solve(repo, log, tmp_path / "w")
        log.emit("candidate")
    before = len(told(tmp_path / "run" / "events.jsonl"))
    with RunLog.reopen(tmp_path / "run") as log:
        again = solve(repo, log, tmp_path / "w")
        assert log.replaying, "only the last event is left"
    assert again == whole
    assert again.cost.seconds > 0
    after = told(tmp_path / "run" / "events.jsonl")
    assert [line for line in after[before:] if '"progress"' not in line][1:] == []


@pytest.mark.parametrize(("seconds", "stopped"), [(0.001, "time limit"), (0.0, "submitted")])
def test_the_time_of_a_run_bounds_the_search(
    repo_factory: Callable[..., Path], tmp_path: Path, seconds: float, stopped: str
):
    """Zero is no limit. With no time left another round would be pointless."""
    limits = SearchLimits.within(LimitsConfig(seconds=seconds))
    with RunLog.create(tmp_path / "run") as log:
        found = solve(repo_factory((FILES, "shop")), log, tmp_path / "w", limits)
    assert (found.stopped, found.final) == (stopped, stopped == "time limit")
    assert bool(found.patch) == (stopped == "submitted")
