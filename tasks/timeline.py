"""The events of a run, told one by one: what a report's timeline shows."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from evo_agent.core.codec import from_json
from evo_agent.core.events import Event
from evo_agent.core.types import Candidate, Cost, Recalled, TestReport, Verdict
from evo_agent.tasks.wording import counts

_COMMAND_SHOWN = 160
_UNTOLD = (  # bookkeeping: in the log for resuming, of no interest to a reader
    "read-call", "read-result", "snapshot-call", "snapshot-result", "diff-call", "diff-result",
    "restore-call", "restore-result", "write-result", "recall-call", "verify-call",
    "verify-result", "write-back-call", "deliver-call", "model-call", "command-call", "tests-call",
    "guardrails-call", "guardrails-result",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened.

    Attributes:
        kind: phase | model | command | write | recall | tests | candidate | verdict | note | error.
        at: seconds since the run began.
        title: one line.
        body: the long part, if any (output, words of the model, a diff).
        detail: short facts beside the title (exit code, tokens).
        bad: whether it is a failure.
        repeated: whether it was in flight when the run was killed, and done again.
        value: the decoded record for kinds that have one.
    """

    kind: str
    at: float
    title: str
    body: str = ""
    detail: str = ""
    bad: bool = False
    repeated: bool = False
    value: object = None


def timeline(events: list[Event]) -> tuple[Entry, ...]:
    """What happened, in order; an event that cannot be read is shown as it stands."""
    asked = {(e.kind, e.data.get("call")): e for e in events if e.kind.endswith("-call")}
    found: list[Entry] = []
    for event in events:
        teller = _TELLERS.get(event.kind, _other)
        if event.kind in _UNTOLD:
            continue
        try:
            entry = teller(event, asked, seconds_between(events[0], event))
        except (TypeError, ValueError, KeyError, AttributeError):
            entry = _other(event, asked, seconds_between(events[0], event))
        if entry is None or (found and _says_as_much(found[-1], entry)):
            continue
        if found and _says_as_much(entry, found[-1]):
            found.pop()
        found.append(entry)
    return tuple(found)


def _says_as_much(one: Entry, other: Entry) -> bool:
    """Whether nothing is lost when only the first of two neighbours is told."""
    if one.kind != "tests":
        return one.kind == other.kind == "note" and one.title == other.title and not other.body
    if other.kind == "tests":
        return (
            one.value is not None
            and one.value == other.value
            and len(one.title) >= len(other.title)
        )
    return other.kind == "note" and other.title.startswith(f"{one.title}:")


Asked = Mapping[tuple[str, Any], Event]
Teller = Callable[[Event, Asked, float], Entry | None]


def _other(event: Event, _asked: Asked, at: float) -> Entry | None:
    bad = event.kind.endswith("-error")
    title = str(event.data.get("cause") or event.data.get("text") or event.kind)
    rest = {k: v for k, v in event.data.items() if k not in ("cause", "text", "call", "digest")}
    body = json.dumps(rest, indent=2, ensure_ascii=False) if rest else ""
    return Entry("error" if bad else "note", at, title, body, detail=event.kind, bad=bad)


def _start(event: Event, _asked: Asked, at: float) -> Entry | None:
    if "task" not in event.data:  # a resumed run says this again, without its task
        return None
    return Entry("note", at, "the run begins")


def _phase(event: Event, _asked: Asked, at: float) -> Entry:
    return Entry("phase", at, str(event.data["phase"]), detail=f"round {event.data['round']}")


def _progress(event: Event, _asked: Asked, at: float) -> Entry:
    return Entry("note", at, str(event.data["text"]))


def _resumed(event: Event, _asked: Asked, at: float) -> Entry:
    return Entry("note", at, f"resumed; {event.data['answered']} events answered from the log")


def _model(event: Event, _asked: Asked, at: float) -> Entry:
    value = event.data["value"]
    cost = from_json(Cost, value["cost"])
    calls = [f"{c['name']} {_readable(c['arguments'])}" for c in value.get("tool_calls") or ()]
    words = str(value.get("content") or "")
    first = (words or (calls[0] if calls else "an empty reply")).strip().split("\n")[0]
    tokens = f"{cost.input_tokens:,} + {cost.output_tokens:,} tokens"
    body = "\n\n".join([words, *calls] if words else calls)
    return Entry("model", at, first, body, tokens, repeated=_repeated(event))


def _readable(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments), indent=2, ensure_ascii=False).replace("\\n", "\n")
    except (TypeError, ValueError):
        return str(arguments)


def _command(event: Event, asked: Asked, at: float) -> Entry:
    value = event.data["value"]
    command = str(asked["command-call", event.data.get("call")].data["command"])
    code = int(value["exit_code"])
    detail = "killed for time" if value.get("timed_out") else f"exit {code}"
    detail += f", {float(value.get('duration', 0)):.1f} s"
    detail += ", output cut" if value.get("truncated") else ""
    title = command if len(command) <= _COMMAND_SHOWN else f"{command[:_COMMAND_SHOWN]}…"
    output = str(value["output"])
    return Entry(
        "command",
        at,
        title,
        output if title == command else f"$ {command}\n{output}",
        detail,
        bad=code != 0,
        repeated=_repeated(event),
    )


def _write(event: Event, _asked: Asked, at: float) -> Entry | None:
    path = str(event.data["path"])
    if path.startswith("/tmp/"):  # noqa: S108  (a solver's instruments inside the sandbox)
        return None
    return Entry("write", at, f"writes {path}")


def _recall(event: Event, _asked: Asked, at: float) -> Entry:
    records = tuple(from_json(Recalled, r) for r in event.data["value"])
    title = f"{len(records)} recalled" if records else "nothing near enough in memory"
    return Entry("recall", at, title, value=records)


def _tests(event: Event, _asked: Asked, at: float) -> Entry:
    """A report in full, or the verifier's: counts and what fails, its output bounded away."""
    data = event.data.get("value", event.data)
    when = str(event.data.get("when", ""))
    if "report" in data:
        report = from_json(TestReport, data["report"])
        bad = bool(report.failing)
        return Entry(
            "tests", at, when or "tests", report.output, counts(report), bad=bad, value=report
        )
    told = ", ".join(f"{number} {name}" for name, number in data["counts"].items())
    body = "\n".join([f"$ {data['command']}", *map(str, data.get("failing") or ())])
    title = f"{when}, run {data['run']}"
    return Entry("tests", at, title, body, told, bad=bool(data.get("failing")))


def _candidate(event: Event, _asked: Asked, at: float) -> Entry:
    candidate = from_json(Candidate, event.data["candidate"])
    return Entry(
        "candidate", at, "candidate patch", candidate.patch, candidate.stopped, value=candidate
    )


def _judged(event: Event, _asked: Asked, at: float) -> Entry:
    verdict = from_json(Verdict, event.data["verdict"])
    excerpt = verdict.diagnosis.excerpt if verdict.diagnosis else ""
    title = f"{verdict.grade}: {verdict.reason}"
    return Entry("verdict", at, title, excerpt, value=verdict, bad=not verdict.holds)


def _written(event: Event, _asked: Asked, at: float) -> Entry:
    value = event.data["value"]
    name = value.get("skill_name")
    return Entry("note", at, f"wrote the skill {name}" if name else "wrote the episode")


def _delivered(event: Event, _asked: Asked, at: float) -> Entry:
    return Entry("note", at, str(event.data["value"]))


def _end(event: Event, _asked: Asked, at: float) -> Entry:
    return Entry("note", at, "the run ends", detail=str(event.data.get("reason", "")))


_TELLERS: dict[str, Teller] = {
    "run-start": _start,
    "run-resumed": _resumed,
    "run-end": _end,
    "phase": _phase,
    "progress": _progress,
    "model-result": _model,
    "command-result": _command,
    "write-call": _write,
    "recall-result": _recall,
    "test-report": _tests,
    "tests-result": _tests,
    "candidate": _candidate,
    "verdict": _judged,
    "write-back-result": _written,
    "deliver-result": _delivered,
}


def _repeated(event: Event) -> bool:
    return bool(event.data.get("repeated"))


def seconds_between(first: Event, event: Event) -> float:
    """Seconds from one event to another; 0 when a time cannot be read."""
    try:
        gap = datetime.fromisoformat(event.time) - datetime.fromisoformat(first.time)
    except (TypeError, ValueError):
        return 0.0
    return max(gap.total_seconds(), 0.0)
