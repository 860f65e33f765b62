"""Runs that were: listed, found, resumed where they stopped, replayed."""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evo_agent.core.codec import from_json
from evo_agent.core.config import STATE_FOLDER, Config
from evo_agent.core.errors import EvoError, StoreError
from evo_agent.core.events import EVENTS_FILE, Event, RunLog, read_events
from evo_agent.core.guard import Rule
from evo_agent.core.types import Candidate, Cost, Recalled, Task
from evo_agent.tasks.fix import FixRequest, FixResult, drive
from evo_agent.tasks.seal import check_seal, is_plain

RUNS_FOLDER = "runs"


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of `evo runs list`.

    Attributes:
        grade: the last verdict's grade; empty when there was none.
        ended: whether the run came to its end; otherwise it can be resumed.
        reason: why it ended as it did, or the phase it was in.
    """

    id: str
    folder: Path
    title: str
    started: str
    grade: str
    ended: bool
    reason: str
    cost: Cost


@dataclass(frozen=True, slots=True)
class Start:
    """What a run began with, as its first event holds it."""

    task: Task
    request: FixRequest
    config: Config


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What playing a run again gave.

    Attributes:
        identical: whether the patch is the recorded one, byte for byte.
        recorded: the patch as recorded.
        result: the new run.
    """

    identical: bool
    recorded: str
    result: FixResult


def new_run(root: Path) -> Path:
    """A folder for a new run (not created); its name sorts by time."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return root / STATE_FOLDER / RUNS_FOLDER / f"{stamp}-{secrets.token_hex(2)}"


def list_runs(root: Path) -> tuple[RunSummary, ...]:
    """Every run of a repository, newest first. Folders without a readable log are left out."""
    folder = root / STATE_FOLDER / RUNS_FOLDER
    found = sorted(folder.glob(f"*/{EVENTS_FILE}"), reverse=True) if folder.is_dir() else []
    plain = [path.parent for path in found if is_plain(path.parent)]
    return tuple(s for run in plain if (s := summarise(run)) is not None)


def find_run(root: Path, prefix: str) -> Path:
    """The folder of the run whose id begins with `prefix` ("last" is the newest).

    Raises:
        EvoError: none or several match.
    """
    runs = list_runs(root)
    if prefix == "last" and runs:
        return runs[0].folder
    matches = [run.folder for run in runs if run.id.startswith(prefix)]
    if len(matches) != 1:
        found = "no run" if not matches else f"{len(matches)} runs"
        raise EvoError(f"{found} in {root} begin with {prefix!r}", "see `evo runs list`")
    return matches[0]


def summarise(folder: Path) -> RunSummary | None:
    """Read a run's log into one line; None when it does not begin as a run does."""
    events = list(read_events(folder))
    if not events or events[0].kind != "run-start":
        return None
    try:
        return _summary(folder, events)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None  # a log that evo did not write


def _summary(folder: Path, events: list[Event]) -> RunSummary:
    last: dict[str, Event] = {event.kind: event for event in events}
    verdict, phase = last.get("verdict"), last.get("phase")
    end = last.get("run-end") or last.get("run-stopped")
    reason = str(end.data["reason"]) if end else ""
    return RunSummary(
        id=folder.name,
        folder=folder,
        title=str(events[0].data["task"]["issue"]["title"]),
        started=events[0].time,
        grade=str(verdict.data["verdict"]["grade"]) if verdict else "",
        ended="run-end" in last,
        reason=reason or (f"stopped in {phase.data['phase']}" if phase else "stopped at the start"),
        cost=_cost(events),
    )


def _cost(events: list[Event]) -> Cost:
    total = Cost()
    for event in events:
        if event.kind == "candidate":
            total += from_json(Candidate, event.data["candidate"]).cost
    return total


def read_start(folder: Path) -> Start:
    """What the run began with, to act on it.

    Raises:
        StoreError: the log does not say, or the run was not made here.
    """
    first = next(read_events(folder), None)
    if first is None or first.kind != "run-start":
        raise StoreError(f"{folder} holds no run", "see `evo runs list`")
    data: Any = first.data
    check_seal(folder, data)
    return Start(
        task=from_json(Task, data["task"]),
        request=from_json(FixRequest, data["request"]),
        config=from_json(Config, data["config"]),
    )


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a run for this process.

    Raises:
        StoreError: another process has it, or the folder cannot be written.
    """
    try:
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}", "") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise StoreError(
            f"run {folder.name} is still going on in another process", "wait for it, or end it"
        ) from error
    finally:
        os.close(handle)


def resume(root: Path, prefix: str, observe: Callable[[Event], None] = lambda _: None) -> FixResult:
    """Go on with a run from its last checkpoint, with the configuration it began with.

    Raises:
        EvoError: there is no such run, it has ended, or it cannot go on.
    """
    from evo_agent.tasks.wiring import open_bench  # noqa: PLC0415  (opens everything heavy)

    folder = find_run(root, prefix)
    summary = summarise(folder)
    if summary is not None and summary.ended:
        raise EvoError(f"run {folder.name} has ended: {summary.reason}", "start a new one")
    start = read_start(folder)
    with ExitStack() as stack:
        stack.enter_context(exclusive(folder))
        log = stack.enter_context(RunLog.reopen(folder, observe=observe))
        log.emit("run-start")
        return drive(start.task, start.config, log, lambda: open_bench(start, log, stack))


def replay(
    root: Path,
    prefix: str,
    config: Config | None = None,
    observe: Callable[[Event], None] = lambda _: None,
) -> ReplayResult:
    """Do a run again offline: the model and memory answer as recorded, commands really run.

    UniSim's replay with changed conditions: give a configuration to change them. Nothing is
    written back and nothing delivered.

    Raises:
        EvoError: there is no such run, or it cannot be done again.
    """
    from evo_agent.core.models import ReplayModel, read_transcript  # noqa: PLC0415
    from evo_agent.tasks.remembered import RecordedAnswers  # noqa: PLC0415
    from evo_agent.tasks.wiring import begin_run, open_bench, with_backend  # noqa: PLC0415

    folder = find_run(root, prefix)
    start = read_start(folder)
    if config is not None:
        changed = replace(start.config, sandbox=config.sandbox)
        start = replace(start, config=with_backend(changed))
    by_model = any(event.kind == "model-result" for event in read_events(folder))
    model = ReplayModel(read_transcript(folder / EVENTS_FILE)) if by_model else None
    answers = RecordedAnswers(recorded_answers(folder), recorded_rules(folder))
    with ExitStack() as stack:
        log = begin_run(start, observe, stack)
        result = drive(
            start.task,
            start.config,
            log,
            lambda: open_bench(start, log, stack, model=model, memory=answers),
        )
    recorded = _recorded_patch(folder)
    return ReplayResult(result.patch == recorded, recorded, result)


def recorded_answers(folder: Path) -> tuple[tuple[Recalled, ...], ...]:
    """What memory answered in a run, in order."""
    return tuple(
        tuple(from_json(Recalled, record) for record in event.data["value"])
        for event in read_events(folder)
        if event.kind == "recall-result"
    )


def recorded_rules(folder: Path) -> tuple[Rule, ...]:
    """The guardrails of a run."""
    results = (e for e in read_events(folder) if e.kind == "guardrails-result")
    return tuple(from_json(Rule, rule) for event in results for rule in event.data["value"])


def _recorded_patch(folder: Path) -> str:
    try:
        return (folder / "patch.diff").read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""
