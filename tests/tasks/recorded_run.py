"""A run's folder as `evo fix` leaves it, written through the real RunLog."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evo_agent.core.chat import Reply, ToolCall
from evo_agent.core.config import Config
from evo_agent.core.events import RunLog
from evo_agent.core.types import (
    Candidate,
    Cost,
    Diagnosis,
    DiagnosisKind,
    Grade,
    Issue,
    Outcome,
    Recalled,
    Task,
    TestReport,
    Verdict,
    to_json,
)

PATCH = """diff --git a/numbers.py b/numbers.py
index 1111111..2222222 100644
--- a/numbers.py
+++ b/numbers.py
@@ -1,5 +1,5 @@
 def gcd(a, b):
     if b == 0:
         return a
-    return gcd(a % b, b)
+    return gcd(b, a % b)
"""
TEST = "test_numbers.py::test_gcd"
PROVED = Verdict(
    Grade.PROVED,
    "1 failing test passes now, 4 others hold",
    before=TestReport("pytest", 1, {TEST: Outcome.FAILED}, messages={TEST: "RecursionError"}),
    after=TestReport("pytest", 0, {TEST: Outcome.PASSED}),
    regressions=TestReport(
        "pytest", 0, {f"test_numbers.py::test_{n}": Outcome.PASSED for n in range(4)}
    ),
)
REJECTED = Verdict(
    Grade.REJECTED,
    "the failing test still fails",
    diagnosis=Diagnosis(DiagnosisKind.STILL_FAILING, "still fails", (TEST,), "RecursionError: …"),
)


def record_run(
    folder: Path, words: str = "", verdict: Verdict = PROVED, patch: str = PATCH
) -> Path:
    """Write a whole run.

    Args:
        folder: the run's folder, to be made.
        words: put into every field that a repository, an issue or a model fills.
        verdict: the last round's; the first round is rejected.
        patch: the candidate's.
    """
    candidate = Candidate(patch, note=f"note {words}", cost=Cost(2, 1500, 300, None, 61.0, 3))
    with RunLog.create(folder) as log:
        log.emit("run-start", task=to_json(_task(words)), config=to_json(Config()), request={})
        log.emit("phase", phase="recall", round=1)
        _call(log, "recall", {"query": {}}, [to_json(_record(words))])
        log.emit("phase", phase="plan", round=1)
        _call(log, "command", {"command": f"pytest -q {words}", "timeout": 60}, _output(words, 1))
        assert verdict.before is not None
        log.emit("test-report", when="before", report=to_json(_said(verdict.before, words)))
        for number, found in enumerate((REJECTED, verdict), 1):
            log.emit("phase", phase="act", round=number)
            log.emit("progress", text=f"looks at gcd {words}")
            _call(log, "model", {"model": "m", "messages": []}, to_json(_reply(words)))
            _call(log, "command", {"command": f"cat {words}", "timeout": 60}, _output(words, 0))
            _call(log, "write", {"path": f"numbers.py{words}", "content": "base64:"}, "tree")
            log.emit("candidate", round=number, candidate=to_json(candidate))
            log.emit("phase", phase="verify", round=number)
            log.emit("verdict", round=number, verdict=to_json(found))
        log.emit("phase", phase="record", round=2)
        written = {"skill": "ab" * 32, "skill_name": f"swap-arguments{words}", "promoted": [words]}
        _call(log, "write-back", {"evidence": 9}, written)
        _call(log, "deliver", {"patch": "x"}, f"applied to the working tree {words}")
        log.emit("something-new", text=words, more={words: words})
        log.emit("run-end", grade=verdict.grade, reason=verdict.reason, cost={})
    (folder / "patch.diff").write_text(patch)
    (folder / "verdict.json").write_text(json.dumps(to_json(verdict)))
    return folder


def _call(log: RunLog, kind: str, request: Mapping[str, object], value: Any) -> None:
    log.call(kind, request, lambda: value, lambda v: v, lambda v: v)


def _task(words: str) -> Task:
    issue = Issue(f"gcd never ends {words}", f"gcd(21, 14) raises RecursionError {words}")
    return Task("t1", Path("/home/ada/numbers"), "0" * 40, issue, (TEST,))


def _record(words: str) -> Recalled:
    return Recalled(
        "c" * 64,
        "episode",
        0.83,
        f"lcm recurses with the arguments swapped {words}",
        f"text {words}",
        f"shares gcd, recursion {words}",
        "human",
        paths=("numbers.py",),
    )


def _output(words: str, code: int) -> dict[str, Any]:
    text = f"{words}\nE   RecursionError: maximum recursion depth exceeded\n1 failed in 0.04s\n"
    return {"exit_code": code, "output": text, "duration": 0.4, "tree": "t"}


def _said(report: TestReport, words: str) -> TestReport:
    return replace(report, output=f"RecursionError {words}")


def _reply(words: str) -> Reply:
    call = ToolCall("1", "bash", json.dumps({"command": f"sed -n 1,5p numbers.py {words}"}))
    return Reply(f"The arguments look swapped. {words}", (call,), Cost(1, 1500, 300, None))
