"""A process that has evo imported and forks: each order is carried out by a real process of its own.

Orders are lines of JSON on standard input: {"do": …, "folder": …, …}. The child writes what it was
told is stored, one line each, to the file "acknowledged", before it does anything else.
"""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from evo_agent.core.types import Candidate, Grade, Issue, Task, TestReport, Verdict
from evo_agent.memory.journal.bodies import Insight
from evo_agent.memory.journal.records import Scope, make
from evo_agent.memory.journal.rows import added
from evo_agent.memory.lifecycle.distil import RunFacts
from evo_agent.memory.store import Memory


def _write(order: dict[str, Any], file: int) -> None:
    name = order["name"]
    with Memory.open(Path(order["folder"])) as memory:
        for number in range(order["count"]):
            told = f"{name}{number:04d} is what {name} found out"
            record = make(Insight("rule", told), repo="r", scope=Scope.GLOBAL)
            memory._journal.write(f"run-{name}", [added(record)])
            os.write(file, f"{record.id}\n".encode())


def _learn(order: dict[str, Any], file: int) -> None:
    with Memory.open(Path(order["folder"])) as memory:
        memory.learn(Path(order["repo"]), progress=lambda p: _acknowledge(file, f"{p.done}"))
    _acknowledge(file, "end")


def _record(order: dict[str, Any], file: int) -> None:
    with Memory.open(Path(order["folder"])) as memory:
        for number in range(order["start"], order["start"] + 10_000):
            kept = memory.record_run(_facts(number, Path(order["repo"])))
            _acknowledge(file, f"{kept.episode_id} {kept.skill_id}")
            memory.index()


def _facts(number: int, repo: Path) -> RunFacts:
    before = TestReport("pytest", 1, {"t.py::t": "failed"}, messages={"t.py::t": f"E{number}"})  # type: ignore[dict-item]
    patch = f"--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-{number}\n+{number + 1}\n"
    return RunFacts(
        run=f"r{number}",
        repo="repo",
        task=Task(f"task-{number}", repo, "a" * 40, Issue(f"Broken {number}", f"It is {number}.")),
        verdict=Verdict(Grade.PROVED, "as judged", before=before),
        verdict_event=1,
        candidate=Candidate(patch),
        time=1_700_000_000.0 + number,
    )


def _acknowledge(file: int, text: str) -> None:
    os.write(file, f"{text}\n".encode())


def main() -> None:
    """Fork for each order and say the child's process id."""
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child:
            sys.stdout.write(f"{child}\n")
            sys.stdout.flush()
            continue
        code = 1
        try:
            os.setsid()  # a kill takes the workers of a learn with it
            file = os.open(order["acknowledged"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            _acknowledge(file, "begun")
            {"write": _write, "learn": _learn, "record": _record}[order["do"]](order, file)
            code = 0
        except BaseException:  # noqa: BLE001 - a child says why, and never returns
            traceback.print_exc()
        finally:
            os._exit(code)


if __name__ == "__main__":
    main()
