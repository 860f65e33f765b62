"""The host's side of the probe: batches of jobs in, results out, through the sandbox only."""

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from evo_agent.core.protocols import Sandbox, TestRunner
from evo_agent.core.repair.edits import Edit
from evo_agent.core.types import CommandResult, Outcome

PLUGIN = "evo_probe"
START_SECONDS = 60.0  # what a start of pytest may take, on top of the batch's own budget
MAX_RESULTS_BYTES = 64 * 1024 * 1024
RESULTS_FOLLOW = "-- evo-probe: results --"


@dataclass(frozen=True, slots=True)
class Job:
    """One forked test session.

    Attributes:
        id: to find its result again.
        edits: applied before it, put back after it.
        trace: whether to collect line coverage per test.
        stop: whether to end at the first failure.
        test: processor seconds per test.
        total: seconds for the session.
        timeouts: after how many timed-out tests the others get less time.
        expect: how many tests must have run for it to be plausible.
    """

    id: str
    edits: tuple[Edit, ...] = ()
    trace: bool = False
    stop: bool = True
    test: float = 1.0
    total: float = 20.0
    timeouts: int = 1
    expect: int = 1


@dataclass(frozen=True, slots=True)
class TestRun:
    """One test in one job; `lines` maps a path below the root to the lines it executed."""

    __test__ = False  # pytest: this is data, not a test class

    test: str
    outcome: Outcome
    seconds: float
    message: str
    timed_out: bool
    lines: Mapping[str, frozenset[int]]


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a job found."""

    id: str
    tests: tuple[TestRun, ...]
    killed: bool
    plausible: bool


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch found; jobs it had no time for are absent. `seconds` as recorded."""

    results: tuple[JobResult, ...] = ()
    preloaded: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Driver:
    """Starts the probe.

    Args:
        sandbox: where everything runs.
        tests: how the project starts its runner.
        files: test files to collect.
        first: ids that must come to pass (files, classes or functions stand for all in them).
        near: how many further tests of those files to run.
        memory: address space of a session, in bytes.
    """

    sandbox: Sandbox
    tests: TestRunner
    files: tuple[str, ...]
    first: tuple[str, ...]
    near: int = 60
    memory: int = 3 << 30
    installed: list[str] = field(default_factory=list)

    @property
    def folder(self) -> str:
        """Where the probe lives inside; local sandboxes share /tmp, so the root is in its name."""
        token = hashlib.sha256(self.sandbox.root.encode()).hexdigest()[:10]
        return f"/tmp/evo-probe-{token}"  # noqa: S108 - inside the sandbox

    def run(
        self,
        jobs: Sequence[Job],
        *,
        then: Sequence[str] | None = None,
        budget: float = 10.0,
        enough: int = 1,
        full: bool = False,
    ) -> BatchResult:
        """Run jobs in order until the budget (seconds) is used or `enough` are plausible.

        Args:
            jobs: in order.
            then: tests that must hold besides the first ones; None takes the `near` nearest.
            budget: seconds after which no further job is begun.
            enough: number of plausible jobs that ends the batch.
            full: whether each test's outcome, coverage and traceback are wanted.
        """
        self._install()
        batch = {
            "jobs": [_job(j, self.sandbox.root) for j in jobs],
            "root": self.sandbox.root,
            "first": list(self.first),
            "then": None if then is None else list(then),
            "near": self.near,
            "memory": self.memory,
            "budget": budget,
            "enough": enough,
            "full": full,
        }
        self.sandbox.write(f"{self.folder}/jobs.json", json.dumps(batch).encode())
        longest = max((j.total for j in jobs), default=0.0)
        done = self.sandbox.exec(self._command(), timeout=budget + longest + START_SECONDS)
        return BatchResult(*_read(self._results(done)), seconds=done.duration)

    def close(self) -> None:
        """Take the probe out of the sandbox again."""
        self.sandbox.exec(f"rm -rf {shlex.quote(self.folder)}")

    def _install(self) -> None:
        if not self.installed:
            text = resources.files("evo_agent.core.repair").joinpath("probe.py").read_bytes()
            self.sandbox.write(f"{self.folder}/{PLUGIN}.py", text)
            self.installed.append(PLUGIN)

    def _command(self) -> str:
        """Run a batch and print its results.

        They are part of what the command answers, so that a run which is killed after it and
        resumed in another sandbox, whose /tmp is empty, still has them.
        """
        folder = shlex.quote(self.folder)
        return (
            f"rm -f {folder}/*.jsonl; export EVO_PROBE={folder}/jobs.json "
            f'PYTHONPATH={folder}"${{PYTHONPATH:+:$PYTHONPATH}}" PYTHONDONTWRITEBYTECODE=1 '
            f'PYTEST_ADDOPTS="$PYTEST_ADDOPTS -p {PLUGIN}"; {self.tests.command(self.files)}\n'
            f"echo; echo '{RESULTS_FOLLOW}'; cat {folder}/results.jsonl 2>/dev/null"
        )

    def _results(self, done: CommandResult) -> bytes:
        """What the probe wrote: as printed, or from its file when printing was cut short."""
        printed = done.output.encode()
        if done.truncated:
            printed = _kept(done.full_output)
        _, marker, results = printed.rpartition(f"\n{RESULTS_FOLLOW}\n".encode())
        if marker and not done.timed_out:
            return results
        try:
            return self.sandbox.read(f"{self.folder}/results.jsonl")[:MAX_RESULTS_BYTES]
        except OSError:
            return b""


def _kept(path: Path | None) -> bytes:
    """The whole output that the sandbox kept on the host, if it did."""
    try:
        return path.read_bytes()[:MAX_RESULTS_BYTES] if path else b""
    except OSError:
        return b""


def _read(data: bytes) -> tuple[tuple[JobResult, ...], tuple[str, ...]]:
    entries = list(_entries(data))
    preloaded = [str(p) for e in entries for p in e.get("preloaded", ())]
    return tuple(_result(e) for e in entries if "id" in e), tuple(preloaded)


def _job(job: Job, root: str) -> dict[str, Any]:
    return {
        "id": job.id,
        "edits": [[f"{root}/{e.path}", e.start, e.end, e.text] for e in job.edits],
        "trace": job.trace,
        "stop": job.stop,
        "test": job.test,
        "total": job.total,
        "timeouts": job.timeouts,
        "expect": job.expect,
    }


def _entries(data: bytes) -> Iterator[dict[str, Any]]:
    """Well-formed lines only: the sandbox could have written anything."""
    for line in data.splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            yield entry


def _result(entry: Mapping[str, Any]) -> JobResult:
    tests = [t for t in entry.get("tests", ()) if isinstance(t, dict)]
    return JobResult(
        id=str(entry["id"]),
        tests=tuple(_test(t) for t in tests if t.get("outcome") in set(Outcome)),
        killed=bool(entry.get("killed")),
        plausible=bool(entry.get("plausible")),
    )


def _test(entry: Mapping[str, Any]) -> TestRun:
    lines = entry.get("lines")
    seconds = entry.get("seconds")
    return TestRun(
        test=str(entry.get("test")),
        outcome=Outcome(entry["outcome"]),
        seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
        message=str(entry.get("message", "")),
        timed_out=bool(entry.get("timed_out")),
        lines={
            str(path): frozenset(n for n in numbers if isinstance(n, int))
            for path, numbers in (lines.items() if isinstance(lines, dict) else ())
            if isinstance(numbers, list)
        },
    )
