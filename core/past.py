"""Events of a run as they stand in its file, and how a resumed run is answered from them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evo_agent.core.errors import StoreError

EVENTS_FILE = "events.jsonl"
# Events that may come at any time (set-up, clocks, other threads): neither expected nor written
# again when a run is resumed.
OUTSIDE_THE_FLOW = ("run-resumed", "progress")


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log. `time` is UTC in ISO 8601."""

    seq: int
    time: str
    kind: str
    data: Mapping[str, Any]


def read_events(folder: Path) -> Iterator[Event]:
    """Yield the events of a run folder in order; unreadable lines are skipped.

    Raises:
        StoreError: there is no log, or it cannot be read.
    """
    path = folder / EVENTS_FILE
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                event = _parse(line)
                if event is not None:
                    yield event
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read: {error.strerror}", "see `evo runs list`"
        ) from error


def _parse(line: str) -> Event | None:
    try:
        raw = json.loads(line)
        return Event(int(raw["seq"]), str(raw["time"]), str(raw["kind"]), dict(raw["data"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


class Past:
    """The events of an interrupted run, answered in order."""

    def __init__(self, events: tuple[Event, ...]) -> None:
        self._events = events
        self._next = 0
        self._results = {
            (event.kind, event.data.get("call")): index
            for index, event in enumerate(events)
            if event.kind.endswith("-result")
        }

    @property
    def exhausted(self) -> bool:
        """Whether everything was answered."""
        return self._next >= len(self._events)

    def take(self, kind: str, request: str = "") -> Event | None:
        """The next event, which must be of this kind and ask this; None when exhausted.

        Raises:
            StoreError: the past went another way.
        """
        if self.exhausted:
            return None
        event = self._events[self._next]
        if event.kind != kind or (request and event.data.get("digest") != request):
            raise StoreError(
                f"the run cannot be resumed: it did {event.kind!r} at step {event.seq}, "
                f"now {kind!r} comes next",
                "the configuration or evo itself changed since; start a new run",
            )
        self._next += 1
        return event

    def result(self, kind: str, number: int) -> Event | None:
        """The result of a call, skipping what happened inside it; None when it has none."""
        index = self._results.get((kind, number))
        if index is None or index < self._next:
            return None
        self._next = index + 1
        return self._events[index]


def flow(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """The events of the program's flow: of each session, what came before its first failure."""
    found: list[Event] = []
    failed = False
    for event in events:
        failed = (failed or _is_failure(event)) and event.kind != "run-resumed"
        if not failed and event.kind not in OUTSIDE_THE_FLOW:
            found.append(event)
    return tuple(found)


def _is_failure(event: Event) -> bool:
    return event.kind.endswith("-error") or event.kind in ("run-end", "run-stopped")
