"""What a run did, read off its log: steps that can be compared, and the guardrails that objected.

A step is {action, exit, diagnosis, pre, post, progress}: the command or edit, its status, the
first line that says what went wrong, the tree before and after, and whether the tree changed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evo_agent.core.past import Event, read_events
from evo_agent.memory.journal.records import bounded
from evo_agent.memory.journal.redact import inert

MOST_STEPS = 200  # of a run; a search has thousands, and its first ones tell
LONGEST_ACTION = 300  # characters
_TREE = 12  # characters of a tree's id
_SCRATCH = re.compile(r"/tmp/[\w./-]+")  # noqa: S108 - named differently in every run
_ERROR = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|Failure)\b[^\n]{0,200}")


def steps(log: Path) -> tuple[Mapping[str, Any], ...]:
    """The steps of a run's folder, in order, at most MOST_STEPS.

    Raises:
        StoreError: there is no log.
    """
    found: list[Mapping[str, Any]] = []
    tree = ""
    pending: Event | None = None
    for event in read_events(log):
        if len(found) == MOST_STEPS:
            break
        if event.kind in ("command-call", "write-call", "tests-call"):
            pending = event
        elif pending is not None and _answers(event, pending):
            step = _step(pending, event.data.get("value"), tree)
            tree = str(step["post"] or tree)
            found.append({key: value for key, value in step.items() if value != ""})
            pending = None
    return tuple(found)


def triggered(log: Path) -> tuple[str, ...]:
    """Ids of the rules that objected to something in a run, each once.

    Raises:
        StoreError: there is no log.
    """
    rules = (
        rule
        for event in read_events(log)
        if event.kind == "guard" and isinstance(event.data.get("rules"), list)
        for rule in event.data["rules"]
    )
    return tuple(dict.fromkeys(str(rule["id"]) for rule in rules if isinstance(rule, dict)))


def first_divergence(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> int:
    """Number of the first step, from 1, at which two runs did different things; 0 when none.

    The bifurcation of MEL: what comes before it cannot tell success from failure. A run that
    ended while the other went on diverges at the step that it did not take.
    """
    longest = max(len(one), len(other))
    for number in range(longest):
        if action(one, number) != action(other, number):
            return number + 1
    return 0


def action(run: Sequence[Mapping[str, Any]], number: int) -> str:
    """What a run did at a step, from 0, comparable across runs; empty past its end."""
    if number >= len(run):
        return ""
    told = str(run[number].get("action", ""))
    return _SCRATCH.sub("/tmp/…", " ".join(told.split()))  # noqa: S108


def error_line(output: str) -> str:
    """The last thing in an output that names an error; empty when nothing does."""
    last = ""
    for match in _ERROR.finditer(inert(output)):
        last = match[0]
    return last.strip()


def _answers(event: Event, call: Event) -> bool:
    return event.kind.endswith("-result") and event.data.get("call") == call.data.get("call")


def _step(call: Event, value: Any, before: str) -> dict[str, Any]:
    result = value if isinstance(value, Mapping) else {}
    after = result.get("tree") or (value if call.kind == "write-call" else "") or before
    after = str(after)[:_TREE] if isinstance(after, str) else before
    code = result.get("exit_code", "")
    failed = isinstance(code, int) and code != 0
    return {
        "action": bounded(inert(_told(call)), LONGEST_ACTION),
        "exit": code,
        "diagnosis": error_line(str(result.get("output", ""))[-20_000:]) if failed else "",
        "pre": before,
        "post": after,
        "progress": bool(before) and after != before,
    }


def _told(call: Event) -> str:
    if call.kind == "write-call":
        return f"write {call.data.get('path', '')}"
    if call.kind == "tests-call":
        return "run tests " + " ".join(_words(call.data.get("tests")))
    return f"$ {call.data.get('command', '')}"


def _words(value: Any) -> Iterator[str]:
    yield from (str(item) for item in value or () if isinstance(value, list))
