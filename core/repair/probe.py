"""Runs inside the sandbox, as a pytest plugin: applies each job's edits, forks, tests, reports.

Self-contained and written for Python 3.6 and later, because it runs under whatever
interpreter the project has. It is never imported on the host; repair.driver writes it into
the sandbox's /tmp. One pytest process is started for a batch of jobs; right before pytest
would load conftest files (so that nothing of the project is imported yet) the process
becomes a server, and each job is a fork of it that goes on as an ordinary test session.

Jobs are read from the JSON file named by EVO_PROBE; lines of JSON are appended to
`results.jsonl` beside it. Nothing here is trusted by the host.
"""
# Typing and paths as Python 3.6 has them:
# ruff: noqa: UP006, UP031, UP035, PTH108, PTH109, PTH116, PTH118, PTH120, PTH123

import contextlib
import json
import os
import resource
import signal
import sys
import threading
import time
import unittest
from types import FrameType
from typing import Any, Dict, Generator, Iterator, List, Set

import pytest

MESSAGE_CHARACTERS = 4000
POLL_SECONDS = 0.002
WAITING = 4.0  # wall time that a test may take, as a multiple of its processor time
HANGING_SECONDS = 0.3  # per test, once several have been seen to hang
FILE_BYTES = 256 * 1024 * 1024

HARMLESS = (pytest.skip.Exception, pytest.xfail.Exception, unittest.SkipTest)

_job: Dict[str, Any] = {}  # filled in the child only
_lines: Dict[str, Set[int]] = {}
_timeouts: Set[str] = set()
_tally = {"ran": 0, "failed": 0}


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: Any) -> Iterator[None]:
    """Serve the jobs; only forked children ever return from here."""
    known = early_config.known_args_namespace
    if hasattr(known, "cov_source"):  # pytest-cov would claim the trace function
        known.cov_source = []
        known.no_cov = True
    if os.environ.get("EVO_PROBE") and not _job:
        _serve(os.environ["EVO_PROBE"])
    yield


def _serve(path: str) -> None:
    with open(path, encoding="utf-8") as handle:
        batch = json.load(handle)
    batch["root"] = os.path.realpath(batch["root"])
    folder = os.path.dirname(path)
    results = os.path.join(folder, "results.jsonl")
    _write(results, {"preloaded": _preloaded(), "python": list(sys.version_info[:3])})
    deadline = time.time() + batch["budget"]
    server = os.getpid()
    found = 0
    for number, job in enumerate(batch["jobs"]):
        job.update({k: v for k, v in batch.items() if k != "jobs"})
        job["report"] = os.path.join(folder, "job-%d.jsonl" % number)
        originals = _apply(job["edits"])
        try:
            pid = os.fork()
            if pid == 0:
                _become(job)
                return
            killed = _wait(pid, job["total"])
        finally:
            if os.getpid() == server:
                _put_back(originals)
        result = _collect(job, killed=killed)
        _write(results, result)
        found += bool(result["plausible"])
        if time.time() > deadline or found >= batch["enough"]:
            break
    os._exit(0)


def _write(path: str, value: Any) -> None:
    with open(path, "a", encoding="utf-8") as handle:
        handle.write(json.dumps(value) + "\n")


def _preloaded() -> List[str]:
    """Files below the root that are imported already: edits to them would not be seen."""
    root = os.getcwd() + os.sep
    files = [getattr(m, "__file__", None) or "" for m in list(sys.modules.values())]
    return sorted(f[len(root) :] for f in map(os.path.abspath, files) if f.startswith(root))


def _apply(edits: List[List[Any]]) -> Dict[str, Any]:
    """Edit the files; return what is needed to put them back."""
    originals: Dict[str, Any] = {}
    for path, start, end, text in sorted(edits, key=lambda e: (e[0], -e[1], -e[2])):
        with open(path, "rb") as handle:
            data = handle.read()
        status = os.stat(path)
        originals.setdefault(path, (data, status.st_atime, status.st_mtime))
        with open(path, "wb") as handle:
            handle.write(data[:start] + text.encode("utf-8") + data[end:])
        # A cached .pyc is judged by size and whole seconds: never let it look fresh.
        os.utime(path, (status.st_atime, originals[path][2] + 100 + len(originals)))
    return originals


def _put_back(originals: Dict[str, Any]) -> None:
    for path, (data, accessed, modified) in originals.items():
        with open(path, "wb") as handle:
            handle.write(data)
        os.utime(path, (accessed, modified))


def _become(job: Dict[str, Any]) -> None:
    """Turn the forked child into the test session of one job."""
    os.setsid()
    _job.update(job)
    sink = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(sink, descriptor)
    for limit, value in ((resource.RLIMIT_AS, job["memory"]), (resource.RLIMIT_FSIZE, FILE_BYTES)):
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (value if hard < 0 else min(value, hard), hard))


def _wait(pid: int, seconds: float) -> bool:
    """Wait for a child; kill its whole session when time runs out, and leftovers always."""
    deadline = time.time() + seconds
    killed = False
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if not killed and time.time() > deadline:
            _kill_session(pid)
            killed = True
        time.sleep(POLL_SECONDS)
    _kill_session(pid)
    return killed


def _kill_session(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def _collect(job: Dict[str, Any], *, killed: bool) -> Dict[str, Any]:
    entries: List[Dict[str, Any]] = []
    with contextlib.suppress(OSError, ValueError), open(job["report"], "rb") as handle:
        for line in handle:  # a killed session may leave half a line
            entries.append(json.loads(line.decode("utf-8")))  # noqa: PERF401 - keeps the prefix
    with contextlib.suppress(OSError):
        os.unlink(job["report"])
    done = [e for e in entries if "done" in e and not e["failed"]]
    plausible = not killed and any(e["ran"] >= max(job["expect"], 1) for e in done)
    tests = [e for e in entries if "test" in e] if job["full"] else []
    return {"id": job["id"], "tests": tests, "killed": killed, "plausible": plausible}


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: Any) -> None:
    """Quick tracebacks, one process."""
    if _job:
        config.option.tbstyle = "native"
        config.option.maxfail = 0


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: Any) -> None:
    """Tests run in this very process, whatever the project's options say of xdist."""
    for name, value in (("numprocesses", 0), ("dist", "no"), ("tx", [])):
        if _job and hasattr(config.option, name):
            setattr(config.option, name, value)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: List[Any]) -> Iterator[None]:
    """Failing tests first, then the near ones, nothing else."""
    yield
    if not _job:
        return
    first = [i for i in items if any(_matches(_identity(i), t) for t in _job["first"])]
    chosen = {id(i) for i in first}
    rest = [i for i in items if id(i) not in chosen]
    if _job["then"] is None:
        rest = rest[: _job["near"]]
    else:
        wanted = set(_job["then"])
        rest = [i for i in rest if _identity(i) in wanted]
    items[:] = first + rest


def _identity(item: Any) -> str:
    """Node id relative to the directory pytest was started in."""
    _, separator, inner = item.nodeid.partition("::")
    return str(os.path.relpath(str(item.fspath), _job["root"]) + separator + inner)


def _matches(test: str, named: str) -> bool:
    return test == named or test.startswith((named + "[", named + "::", named.rstrip("/") + "/"))


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: Any) -> Iterator[None]:
    """Trace one test and write down what became of it."""
    if not _job:
        yield
        return
    item.evo_outcome, item.evo_message = "passed", ""
    _lines.clear()
    started = time.time()
    if _job["trace"]:
        threading.settrace(_enter)
        sys.settrace(_enter)
    yield
    if _job["trace"]:
        sys.settrace(None)
        threading.settrace(_none)
    _note(item, time.time() - started)


def _note(item: Any, seconds: float) -> None:
    identity = _identity(item)
    failed = item.evo_outcome in ("failed", "error")
    _tally["ran"] += item.evo_outcome != "skipped"
    _tally["failed"] += failed
    root = _job["root"] + os.sep
    lines = {f[len(root) :]: sorted(s) for f, s in _lines.items() if s}
    entry = {"test": identity, "outcome": item.evo_outcome, "seconds": seconds, "lines": lines}
    entry["message"] = item.evo_message[-MESSAGE_CHARACTERS:] if _job["full"] else ""
    entry["timed_out"] = identity in _timeouts
    _write(_job["report"], entry)
    if failed and _job["stop"]:
        os._exit(1)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, Any, None]:
    """Remember the worst of set-up, call and teardown."""
    outcome = yield
    if not _job:
        return
    report = outcome.get_result()
    if report.outcome == "failed":
        item.evo_outcome = "failed" if call.when == "call" else "error"
        item.evo_message = str(report.longrepr)
    elif report.outcome == "skipped" and item.evo_outcome == "passed":
        item.evo_outcome = "skipped"


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_call(item: Any) -> Generator[None, Any, None]:
    """End a test that loops for ever, from within, so that its coverage is kept.

    A candidate's session is over with its first failure; leaving here saves pytest the work of
    describing it, which takes longer than everything else.
    """
    if not _job:
        yield
        return

    def expire(_signal: int, _frame: Any) -> None:
        _timeouts.add(_identity(item))
        sys.settrace(None)
        raise pytest.fail.Exception("evo: timed out", pytrace=True)

    # Processor time first, so that a busy machine makes no test look endless; wall time for
    # tests that wait for ever.
    signal.signal(signal.SIGVTALRM, expire)
    signal.signal(signal.SIGALRM, expire)
    known_to_hang = len(_timeouts) >= _job["timeouts"]
    limit = min(_job["test"], HANGING_SECONDS) if known_to_hang else _job["test"]
    signal.setitimer(signal.ITIMER_VIRTUAL, limit, 0.5)
    signal.setitimer(signal.ITIMER_REAL, limit * WAITING, 0.5)
    outcome = yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    expected = item.get_closest_marker("xfail") is not None
    if _job["stop"] and outcome.excinfo and not expected:
        if issubclass(outcome.excinfo[0], HARMLESS):
            return
        os._exit(1)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """The last line of a job's report; without it the job counts as failed."""
    if _job:
        _write(_job["report"], dict(_tally, done=True))
        os._exit(0)


def _none(_frame: FrameType, _event: str, _argument: Any) -> Any:
    return None


def _enter(frame: FrameType, _event: str, _argument: Any) -> Any:
    name = frame.f_code.co_filename
    if not name.startswith(_job["root"] + os.sep):
        return None
    seen = _lines.setdefault(name, set())
    seen.add(frame.f_lineno)

    def step(inner: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            seen.add(inner.f_lineno)
        return step

    return step
