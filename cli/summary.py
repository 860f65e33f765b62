"""What a person reads when a run has ended: the grade and what it means, and the evidence."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evo_agent.cli import output
from evo_agent.core.types import Grade, Recalled, Verdict, to_json
from evo_agent.tasks.story import Story
from evo_agent.tasks.wording import MEANINGS, NOTHING, changes, cost_line, counts

if TYPE_CHECKING:
    from evo_agent.tasks.results import FixResult
    from evo_agent.tasks.runs import ReplayResult

_TESTS_SHOWN = 8
_NAME_WIDTH = 96
_STYLES = {
    Grade.PROVED: "bold green",
    Grade.REPRODUCED: "bold green",
    Grade.UNPROVED: "bold yellow",
    Grade.FLAKY: "bold yellow",
    Grade.REJECTED: "bold red",
    Grade.INFRASTRUCTURE: "bold red",
}


def end(result: "FixResult", *, as_json: bool) -> int:
    """Print a run's result, as JSON or for people, and give its exit code."""
    if as_json:
        output.document(as_document(result))
    else:
        show(result)
    return result.exit_code


def end_replay(again: "ReplayResult", *, as_json: bool) -> int:
    """Print what playing a run again gave; 0 when the patch is the recorded one, else 3."""
    if as_json:
        document = as_document(again.result)
        output.document({"identical": again.identical, "recorded": again.recorded, **document})
    else:
        show(again.result)
        output.line()
        same = "byte for byte the recorded patch" if again.identical else "not the recorded patch"
        output.line(f"replay: {same}", "bold green" if again.identical else "bold red")
    return 0 if again.identical else 3


def show(result: "FixResult") -> None:
    """Print the summary of a run to standard output."""
    if result.verdict is None:
        _nothing(result)
    else:
        _headline(result.verdict)
        _tests(result.verdict)
    if result.patch.strip():
        output.heading("diff")
        output.diff(result.patch)
    _recalled(result.recalled)
    output.heading("record")
    output.facts(_record(result))
    if result.advice:
        output.line()
        output.line(f"next: {output.one_line(result.advice)}", "bold")


def as_document(result: "FixResult") -> Mapping[str, Any]:
    """The same as one JSON document."""
    document = dict(to_json(result))
    grade = result.verdict.grade if result.verdict is not None else None
    document["grade"] = grade.value if grade else None
    document["meaning"] = MEANINGS[grade] if grade else NOTHING
    document["run"] = result.run.name
    document["folder"] = str(result.run)
    document["patch"] = result.patch
    document["exit_code"] = result.exit_code
    return document


def show_story(story: Story) -> None:
    """Print a recorded run, as its log tells it."""
    title = story.task.issue.title if story.task else ""
    output.line(f"run {story.id}  {output.one_line(title)}", "bold")
    if story.verdict is None:
        output.line(f"no verdict: {story.ended or 'stopped before one was reached'}", "bold yellow")
    else:
        _headline(story.verdict)
        _tests(story.verdict)
    if story.patch.strip():
        output.heading("diff")
        output.diff(story.patch)
    _recalled(story.recalled)
    output.heading("record")
    output.facts(
        [
            ("solver", story.solver),
            ("started", story.started),
            ("delivered", story.delivered),
            ("skill", story.skill),
            ("now active", ", ".join(story.promoted)),
            ("cost", cost_line(story.cost)),
            ("report", f"evo runs open {story.id}"),
        ]
    )


def _nothing(result: "FixResult") -> None:
    output.line()
    output.line(NOTHING, "bold yellow")
    if result.suspects:
        output.heading("read first")
        for path in result.suspects:
            output.line(f"  {output.one_line(path)}")


def _headline(verdict: Verdict) -> None:
    output.line()
    output.line(f"{verdict.grade.value}: {MEANINGS[verdict.grade]}", _STYLES[verdict.grade])
    if verdict.reason:
        output.line(f"  {output.one_line(verdict.reason)}")
    if verdict.diagnosis is not None and verdict.diagnosis.detail != verdict.reason:
        detail = output.one_line(verdict.diagnosis.detail)
        output.line(f"  {verdict.diagnosis.kind.value}: {detail}")
    for path in verdict.restored:
        output.line(f"  {path} judges the fix, so the patch's change to it was put back")


def _tests(verdict: Verdict) -> None:
    if verdict.before is None and verdict.after is None and verdict.regressions is None:
        return
    output.heading("tests")
    output.facts(
        [
            ("before", counts(verdict.before)),
            ("after", counts(verdict.after)),
            ("others", counts(verdict.regressions)),
            ("broken", ", ".join(verdict.broken[:_TESTS_SHOWN])),
            ("not run", verdict.tests_not_run),
        ]
    )
    for test, before, after in changes(verdict)[:_TESTS_SHOWN]:
        output.line(f"    {output.shortened(test, _NAME_WIDTH)}  {before} → {after}")


def _recalled(recalled: tuple[Recalled, ...]) -> None:
    if not recalled:
        return
    output.heading("recalled")
    for record in recalled:
        output.line(f"  {record.score:.2f}  {record.kind}  {output.shortened(record.title, 80)}")
        if record.why:
            output.line(f"        {output.one_line(record.why)}", "dim")


def _record(result: "FixResult") -> list[tuple[str, str]]:
    written = result.written
    skill = f"{written.skill_name} ({written.skill[:12]})" if written.skill else ""
    return [
        ("delivered", result.delivered),
        ("episode", written.episode[:12]),
        ("skill", skill),
        ("now active", ", ".join(written.promoted)),
        ("cost", cost_line(result.cost)),
        ("report", f"evo runs open {result.run.name}{_from_here(result.task.repo)}"),
    ]


def _from_here(repo: Path) -> str:
    """The option that a command needs when it is typed where the person is."""
    here = Path.cwd()
    return "" if here.is_relative_to(repo) else f" --repo {shlex.quote(str(repo))}"
