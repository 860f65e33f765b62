"""A run's log read into what a person wants to see: the facts on top, then what happened.

Everything in it was written by a repository, an issue or a model and is only ever shown.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from evo_agent.core.codec import from_json
from evo_agent.core.events import Event, read_events
from evo_agent.core.types import Candidate, Cost, Recalled, Task, Verdict
from evo_agent.tasks.timeline import Entry, seconds_between, timeline

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Story:
    """A run as a reader wants it. `grade` is empty until there is a verdict."""

    id: str
    started: str = ""
    seconds: float = 0.0
    task: Task | None = None
    solver: str = ""
    sandbox: str = ""
    verdict: Verdict | None = None
    ended: str = ""
    patch: str = ""
    recalled: tuple[Recalled, ...] = ()
    cost: Cost = field(default_factory=Cost)
    skill: str = ""
    promoted: tuple[str, ...] = ()
    delivered: str = ""
    entries: tuple[Entry, ...] = ()


def read_story(folder: Path) -> Story:
    """Read a run's folder.

    Raises:
        StoreError: there is no log.
    """
    events = list(read_events(folder))
    told = timeline(events)
    written: Mapping[str, Any] = _last(events, "write-back-result", "value", {}) or {}
    return Story(
        id=folder.name,
        started=events[0].time if events else "",
        seconds=max((seconds_between(events[0], e) for e in events), default=0.0),
        task=_decoded(Task, _last(events, "run-start", "task", None)),
        **_setting(events),
        verdict=_verdict(folder, events),
        ended=str(_last(events, "run-end", "reason", "")),
        patch=_patch(folder, events),
        recalled=_recalled(events),
        cost=_cost(events),
        skill=str(written.get("skill_name") or ""),
        promoted=tuple(map(str, written.get("promoted") or ())),
        delivered=str(_last(events, "deliver-result", "value", "")),
        entries=told,
    )


def _last(events: Iterable[Event], kind: str, key: str, default: Any) -> Any:
    values = [e.data[key] for e in events if e.kind == kind and key in e.data]
    return values[-1] if values else default


def _decoded(kind: type[T], raw: Any) -> T | None:
    try:
        return from_json(kind, raw) if raw else None
    except (TypeError, ValueError, KeyError, AttributeError):
        return None


def _setting(events: list[Event]) -> dict[str, str]:
    config: Any = _last(events, "run-start", "config", {})
    request: Any = _last(events, "run-start", "request", {})
    try:
        model = config.get("model", {}).get("name", "")
        solver = request.get("solver") or ("agent" if model else "repair")
        backend = config.get("sandbox", {}).get("backend", "")
    except AttributeError:
        return {"solver": "", "sandbox": ""}
    sandbox = _last(events, "sandbox", "name", backend)
    return {"solver": f"{solver} ({model})" if model else str(solver), "sandbox": str(sandbox)}


def _verdict(folder: Path, events: list[Event]) -> Verdict | None:
    """The verdict that counts: of the best attempt when the run ended, else the latest."""
    try:
        raw = json.loads((folder / "verdict.json").read_text("utf-8", "replace"))
    except (OSError, ValueError):
        raw = _last(events, "verdict", "verdict", None)
    return _decoded(Verdict, raw)


def _patch(folder: Path, events: list[Event]) -> str:
    try:
        return (folder / "patch.diff").read_text("utf-8", "replace")
    except OSError:
        candidate = _decoded(Candidate, _last(events, "candidate", "candidate", None))
        return candidate.patch if candidate else ""


def _recalled(events: list[Event]) -> tuple[Recalled, ...]:
    """Every record that was recalled, once, in the order it first came up."""
    found: dict[str, Recalled] = {}
    for event in events:
        for raw in event.data.get("value") or () if event.kind == "recall-result" else ():
            record = _decoded(Recalled, raw)
            if record is not None:
                found.setdefault(record.id, record)
    return tuple(found.values())


def _cost(events: list[Event]) -> Cost:
    total = Cost()
    for event in events:
        if event.kind == "candidate":
            candidate = _decoded(Candidate, event.data.get("candidate"))
            total += candidate.cost if candidate else Cost()
    return total
