"""Live progress of a run, derived from its events and from nothing else.

On a terminal: one status line that moves, with milestones left above it. Elsewhere: the
milestones alone, as plain lines. Both on standard error, so that results stay pipeable.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from evo_agent.cli import output
from evo_agent.core.codec import from_json
from evo_agent.core.errors import EvoError
from evo_agent.core.events import Event
from evo_agent.core.types import TestReport
from evo_agent.tasks.visible import visible
from evo_agent.tasks.wording import clock, counts, money, number

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

_ACTION_WIDTH = 100
_RECALLED_SHOWN = 3
_TO_BE_SEEN = ("not limited", "warning", "memory:")  # progress that must not scroll away
_SETTING_UP = "setting up"
_GISTS = {
    "recall": ": what does memory know of this?",
    "plan": ": what fails, before anything is changed?",
    "act": ": the solver works in the sandbox",
    "verify": ": a fresh sandbox judges the patch",
    "refine": ": the diagnosis goes into the next round",
    "record": ": keep what was learnt, hand the fix over",
}


class InterruptedRunError(EvoError):
    """Ctrl-C during a run; what was done so far is in its log."""

    exit_code: ClassVar[int] = 130


@dataclass
class Tally:
    """What the events so far add up to.

    Attributes:
        dollars: None as soon as one call's price is unknown.
    """

    run: str = ""
    started_run: bool = False
    phase: str = _SETTING_UP
    recalled: str = ""
    round: int = 1
    step: int = 0
    commands: int = 0
    tokens: int = 0
    dollars: float | None = 0.0
    last: str = ""
    started: float = field(default_factory=time.monotonic)

    def take(self, event: Event) -> str:
        """Count one event.

        Returns:
            A line for people when the event is a milestone, else an empty string.
        """
        reader = _READERS.get(event.kind)
        return reader(self, event.data) if reader else ""

    def status(self) -> str:
        """Phase, round, step, tokens, cost and time, on one line."""
        parts = [self.phase, f"round {self.round}"]
        if self.step:
            parts += [f"step {self.step}", number(self.tokens, "token"), money(self.dollars)]
        if self.commands:
            parts.append(number(self.commands, "command"))
        return " · ".join([*parts, clock(time.monotonic() - self.started)])


def _on_start(tally: Tally, data: Mapping[str, Any]) -> str:
    tally.started_run = True
    tally.run = str(data.get("run") or tally.run)
    return f"run {tally.run}" if tally.run else ""


def _on_phase(tally: Tally, data: Mapping[str, Any]) -> str:
    tally.phase, tally.round = str(data.get("phase", "")), int(data.get("round", 1))
    tally.last = ""
    gist = _GISTS.get(tally.phase, "")
    return tally.phase + (f" (round {tally.round})" if tally.round > 1 else "") + gist


def _on_model(tally: Tally, data: Mapping[str, Any]) -> str:
    value = data.get("value") or {}
    cost = value.get("cost") or {}
    tally.step += 1
    tally.tokens += int(cost.get("input_tokens") or 0) + int(cost.get("output_tokens") or 0)
    dollars = cost.get("dollars")
    tally.dollars = None if dollars is None or tally.dollars is None else tally.dollars + dollars
    words = str(value.get("content") or "")
    tally.last = words or tally.last
    return ""


def _on_command(tally: Tally, data: Mapping[str, Any]) -> str:
    tally.commands += 1
    if tally.step:  # a model drives; the repair solver says itself what it is about
        tally.last = f"$ {data.get('command', '')}"
    return ""


def _on_write(tally: Tally, data: Mapping[str, Any]) -> str:
    if tally.step:
        tally.last = f"writes {data.get('path', '')}"
    return ""


def _on_progress(tally: Tally, data: Mapping[str, Any]) -> str:
    tally.last = str(data.get("text", ""))
    # Set-up may take minutes (an image, an environment) and says little: all of it is shown.
    shown = tally.phase == _SETTING_UP or tally.last.startswith(_TO_BE_SEEN)
    return f"  {tally.last}" if shown and tally.last else ""


def _on_recall(tally: Tally, data: Mapping[str, Any]) -> str:
    results = data.get("value") or ()
    titles = [str(r.get("title", "")) for r in results if isinstance(r, Mapping)]
    shown = [f"  recalls: {output.shortened(t, _ACTION_WIDTH)}" for t in titles[:_RECALLED_SHOWN]]
    more = len(titles) - len(shown)
    told = "\n".join([*shown, f"  and {more} more"] if more > 0 else shown)
    before, tally.recalled = tally.recalled, told or "  nothing near enough in memory"
    return "" if before == tally.recalled else tally.recalled


def _on_tests(_tally: Tally, data: Mapping[str, Any]) -> str:
    if "report" not in data:  # the verifier's own: the verdict says it
        return ""
    try:
        report = from_json(TestReport, data["report"])
    except (TypeError, ValueError, KeyError):
        return ""
    return f"  {data.get('when', 'tests')}: {counts(report)}"


def _on_candidate(_tally: Tally, data: Mapping[str, Any]) -> str:
    candidate = data.get("candidate") or {}
    patch = str(candidate.get("patch") or "")
    if not patch.strip():
        return f"  no patch: {candidate.get('stopped', '')}"
    lines = [line for line in patch.splitlines() if not line.startswith(("+++", "---"))]
    added, gone = (sum(line.startswith(sign) for line in lines) for sign in "+-")
    files = patch.count("\ndiff --git ") + patch.startswith("diff --git ")
    return f"  candidate: {number(files, 'file')}, +{added} -{gone}"


def _on_verify(tally: Tally, _data: Mapping[str, Any]) -> str:
    tally.last = "judging the patch in a fresh sandbox"
    return ""


def _on_written(_tally: Tally, data: Mapping[str, Any]) -> str:
    written = data.get("value") or {}
    promoted = "".join(f"\n  skill now active: {name}" for name in written.get("promoted") or ())
    name = written.get("skill_name") or ""
    return (f"  skill written: {name}" if name else "  episode written") + promoted


def _on_verdict(_tally: Tally, data: Mapping[str, Any]) -> str:
    verdict = data.get("verdict") or {}
    return f"  verdict: {verdict.get('grade', '')}: {verdict.get('reason', '')}"


def _on_resumed(_tally: Tally, data: Mapping[str, Any]) -> str:
    return f"resumed: {data.get('answered', 0)} events are answered from the log"


_READERS: dict[str, Callable[[Tally, Mapping[str, Any]], str]] = {
    "run-start": _on_start,
    "phase": _on_phase,
    "model-result": _on_model,
    "command-call": _on_command,
    "write-call": _on_write,
    "progress": _on_progress,
    "recall-result": _on_recall,
    "test-report": _on_tests,
    "candidate": _on_candidate,
    "verify-call": _on_verify,
    "verdict": _on_verdict,
    "write-back-result": _on_written,
    "run-resumed": _on_resumed,
}


@contextmanager
def watch(*, quiet: bool = False) -> Iterator[Callable[[Event], None]]:
    """Show a run's progress while the body runs.

    Args:
        quiet: show nothing (`--json`).

    Yields:
        The observer to hand to the run.

    Raises:
        InterruptedRunError: on Ctrl-C; it says how to go on.
    """
    tally = Tally()
    try:
        if quiet:
            yield lambda event: _count(tally, event)
        elif output.interactive(sys.stderr):
            with _live(tally) as observe:
                yield observe
        else:
            yield lambda event: _plain(tally, event)
    except KeyboardInterrupt as error:
        raise _interrupted(tally) from error


def _count(tally: Tally, event: Event) -> None:
    tally.take(event)


def _plain(tally: Tally, event: Event) -> None:
    milestone = tally.take(event)
    if milestone:
        output.note(milestone)


def _interrupted(tally: Tally) -> InterruptedRunError:
    if not tally.started_run:
        return InterruptedRunError("interrupted before a run began")
    run = tally.run or "last"
    return InterruptedRunError(
        "interrupted; the run is kept up to its last step",
        f"go on with `evo runs resume {run}`",
    )


@contextmanager
def _live(tally: Tally) -> Iterator[Callable[[Event], None]]:
    from rich.live import Live

    with Live(
        get_renderable=lambda: _line(tally),
        console=output.console(sys.stderr),
        refresh_per_second=8,
        transient=True,
    ) as live:
        yield lambda event: _above(live, tally.take(event))


def _above(live: "Live", milestone: str) -> None:
    from rich.text import Text

    if milestone:
        style = "bold" if not milestone.startswith(" ") else ""
        live.console.print(Text(visible(milestone), style))


def _line(tally: Tally) -> "Text":
    from rich.text import Text

    frame = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(time.monotonic() * 8) % 10]
    text = Text(f"{frame} ", "cyan", no_wrap=True, overflow="ellipsis")
    text.append(tally.status(), "bold cyan")
    if tally.last:
        text.append(f"\n  {output.shortened(tally.last, _ACTION_WIDTH)}", "dim")
    return text
