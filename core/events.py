"""The run log: append-only events, from which a killed run resumes and a page is drawn.

One JSON object a line in `events.jsonl`: {"seq", "time", "kind", "data"}. A line is written by
one write(2) before the caller goes on, so `kill -9` loses nothing that was acknowledged; a torn
last line (a full disk) is skipped by readers and never rewritten.

Resuming is durable execution: the program runs again from its start, and every call that the
log holds a result for is answered from the log instead of being performed. The one call that
was in flight is performed again and marked. This asks one thing of the code between calls:
that it is deterministic given their results.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from evo_agent.core.errors import StoreError
from evo_agent.core.past import EVENTS_FILE, OUTSIDE_THE_FLOW, Event, Past, flow, read_events
from evo_agent.core.types import to_json

__all__ = ["EVENTS_FILE", "Event", "RunLog", "digest", "read_events"]

BLOBS_FOLDER = "blobs"

T = TypeVar("T")


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON of a value."""
    text = json.dumps(to_json(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class RunLog:
    """The log of one run, open for appending.

    Args:
        folder: the run's folder; it must exist.
        past: events to be answered from before anything new is written (resuming).
        observe: called with every event, replayed ones included.
        next_seq: number of the next event.
    """

    def __init__(
        self,
        folder: Path,
        *,
        past: tuple[Event, ...] = (),
        observe: Callable[[Event], None] = lambda _: None,
        next_seq: int = 0,
    ) -> None:
        self.folder = folder
        self._past = Past(past)
        self._observe = observe
        self._seq = next_seq
        self._calls = 0
        self._abandoned = False  # interrupted: what is done on the way out is not the run's
        self._file = _open_append(folder / EVENTS_FILE)
        self._torn = _ends_torn(folder / EVENTS_FILE)

    @classmethod
    def create(cls, folder: Path, *, observe: Callable[[Event], None] = lambda _: None) -> Self:
        """Start the log of a new run; makes the folder.

        Raises:
            StoreError: the folder cannot be made, or holds a log already.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # outputs may hold secrets
        except OSError as error:
            raise _unwritable(folder, error) from error
        if (folder / EVENTS_FILE).exists():
            raise StoreError(f"{folder} already holds a run", "use `evo runs resume`")
        return cls(folder, observe=observe)

    @classmethod
    def reopen(cls, folder: Path, *, observe: Callable[[Event], None] = lambda _: None) -> Self:
        """Open a run's log to go on where it stopped.

        Everything from the first call that failed is dropped from what is answered: the point
        of resuming is to try that again.
        """
        events = tuple(read_events(folder))
        past = flow(events)
        log = cls(folder, past=past, observe=observe, next_seq=len(events))
        log._append("run-resumed", {"answered": len(past)})
        return log

    @property
    def replaying(self) -> bool:
        """Whether the next event is answered from the past."""
        return not self._past.exhausted

    def emit(self, kind: str, **data: object) -> int:
        """Append one event and return its number (-1 where nothing is written).

        Raises:
            StoreError: it cannot be written, or the run being resumed took another path.
        """
        if self._abandoned or (kind in OUTSIDE_THE_FLOW and self.replaying):
            return -1
        known = self._past.take(kind)
        if known is not None:
            self._observe(known)
            return known.seq
        return self._append(kind, data)

    def call(
        self,
        kind: str,
        request: Mapping[str, object],
        perform: Callable[[], T],
        encode: Callable[[T], object],
        decode: Callable[[Any], T],
    ) -> T:
        """Perform something with an intent event before it and a result event after it.

        Args:
            kind: the events are "<kind>-call" and "<kind>-result" (or "<kind>-error").
            request: what is asked for, JSON-ready; its digest identifies the call.
            perform: does it; not called when the log being resumed has the result.
            encode: result to JSON.
            decode: JSON to result.

        Raises:
            StoreError: the log cannot be written, or the resumed run took another path.
        """
        if self._abandoned:
            return perform()
        number, self._calls = self._calls, self._calls + 1
        intent = self._past.take(f"{kind}-call", digest(request))
        if intent is not None:
            self._observe(intent)
            result = self._past.result(f"{kind}-result", number)
            if result is not None:
                self._calls = int(result.data["next_call"])
                self._observe(result)
                return decode(result.data["value"])
        else:
            self._append(f"{kind}-call", {"call": number, "digest": digest(request), **request})
        repeated = intent is not None and self._past.exhausted
        return self._perform(kind, number, perform, encode, repeated=repeated)

    def blob(self, data: bytes) -> str:
        """Keep bytes beside the log, addressed by their SHA-256, which is returned."""
        name = hashlib.sha256(data).hexdigest()
        path = self.folder / BLOBS_FOLDER / name
        try:
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                partial = path.with_suffix(f".{os.getpid()}")
                partial.write_bytes(data)
                partial.replace(path)
        except OSError as error:
            raise _unwritable(path, error) from error
        return name

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _perform(
        self,
        kind: str,
        number: int,
        perform: Callable[[], T],
        encode: Callable[[T], object],
        *,
        repeated: bool,
    ) -> T:
        try:
            value = perform()
        except Exception as error:
            self._append(f"{kind}-error", {"call": number, "cause": str(error)})
            raise
        except BaseException:
            self._abandoned = True  # the call stays in flight, as if the process had been killed
            raise
        data: dict[str, object] = {"call": number, "next_call": self._calls, "value": encode(value)}
        if repeated:
            data["repeated"] = True
        self._append(f"{kind}-result", data)
        return value

    def _append(self, kind: str, data: Mapping[str, object]) -> int:
        event = Event(self._seq, datetime.now(UTC).isoformat(), kind, to_json(data))
        self._write(json.dumps(to_json(event), ensure_ascii=False))
        self._seq += 1
        self._observe(event)
        return event.seq

    def _write(self, text: str) -> None:
        line = ("\n" if self._torn else "") + text + "\n"
        raw = line.encode("utf-8", "backslashreplace")
        try:
            written = os.write(self._file, raw)
        except OSError as error:
            raise _unwritable(self.folder / EVENTS_FILE, error) from error
        self._torn = written != len(raw)
        if self._torn:
            raise StoreError(
                f"{self.folder / EVENTS_FILE}: the disk is full",
                "free some space, then `evo runs resume`",
            )


def _open_append(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from error


def _ends_torn(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{path} cannot be written: {error.strerror}",
        "make it writable, or free some space, then `evo runs resume`",
    )
