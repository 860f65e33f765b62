"""What a run leaves behind: its episode, and from a proved fix a skill that says how.

A skill is text for a reader who meets the same symptom elsewhere: how to recognise it, what was
wrong, what to change, how to check. It says only what the verifier saw or the solver logged, and
marks the solver's own words as such.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from evo_agent.core.types import Candidate, Task, Verdict, to_json
from evo_agent.memory.history.patches import changed_files, languages
from evo_agent.memory.journal.bodies import Episode, Skill
from evo_agent.memory.journal.records import (
    LONGEST_DIFF,
    LONGEST_TEXT,
    AsOf,
    Record,
    Scope,
    Trust,
    bounded,
    make,
)
from evo_agent.memory.lifecycle.facts import RunFacts
from evo_agent.memory.skills.skills import LONGEST_DESCRIPTION, slug

_ERROR_LINE = re.compile(r"^(?:E\s+)?((?:\w+\.)*\w*(?:Error|Exception|Failure|Failed|Timeout)\b.*)")
_SIGNATURE_LINES = 6
_EXAMPLE_LINES = 120  # of the diff in a skill
_NAME_WORDS = 50  # characters of a skill's name before its mark


def run_episode(facts: RunFacts) -> Record:
    """A run as an episode, failures too; its scope is the language, so that others learn of it."""
    candidate = facts.candidate or Candidate(patch="", stopped="nothing handed over")
    files, hunks = changed_files(candidate.patch)
    told = signature(facts.verdict)
    episode = Episode(
        origin="run",
        issue_id=facts.task.id,
        title=bounded(facts.task.issue.title, 300) or facts.task.id,
        base=facts.task.base,
        problem=bounded(facts.task.issue.text, LONGEST_TEXT),
        root_cause=_cause(candidate.facts),
        solution=bounded(candidate.note, LONGEST_TEXT),
        intent="fix",
        files=files,
        hunks=hunks,
        tests=_judging(facts),
        diff=bounded(candidate.patch, LONGEST_DIFF),
        signature=told,
        grade=facts.verdict.grade.value,
        reason=facts.verdict.reason,
        steps=facts.done,
        facts=to_json(
            {
                **candidate.facts,
                "solver": facts.solver,
                "stopped": candidate.stopped,
                "arm": facts.arm,
                "broken": facts.verdict.broken,
                "diagnosis": facts.verdict.diagnosis.kind if facts.verdict.diagnosis else "",
            }
        ),
        retrieved=facts.recalled,
        cited=candidate.cited,
        cost=asdict(candidate.cost),
    )
    return make(
        episode,
        repo=facts.repo,
        scope=Scope.LANGUAGE,
        as_of=AsOf(facts.task.base, facts.moment),
        created=facts.moment,
        source_ids=(f"run:{facts.run}",),
        evidence_ids=facts.evidence,
        trust=Trust.VERIFIED if facts.verdict.holds else Trust.UNTRUSTED,
        when_to_use=told.partition("\n")[0],
        tags=("run", *languages([file.path for file in files])),
    )


def fix_skill(facts: RunFacts, episode: Record, parent: str = "") -> Record:
    """The candidate skill of a proved fix.

    Args:
        facts: of a run whose verdict holds.
        episode: the record of that run.
        parent: id of the version that it replaces.
    """
    candidate = facts.candidate
    assert candidate is not None
    assert isinstance(episode.body, Episode)
    skill = Skill(
        name=skill_name(facts.task, facts.repo, episode.body),
        description=_description(episode.body),
        body=skill_text(episode.body, facts.verdict),
        issue_id=facts.task.id,
        facts={k: v for k, v in to_json(candidate.facts).items() if k in _KEPT_FACTS},
    )
    return make(
        skill,
        repo=facts.repo,
        scope=Scope.LANGUAGE,
        as_of=AsOf(facts.task.base, facts.moment),
        created=facts.moment,
        source_ids=(episode.id,),
        evidence_ids=facts.evidence,
        parent_id=parent,
        trust=Trust.VERIFIED,
        when_to_use=episode.when_to_use or episode.body.title,
        tags=("fix", *languages([file.path for file in episode.body.files])),
    )


_KEPT_FACTS = ("operators", "location", "before", "after", "root_cause")


def skill_name(task: Task, repo: str, episode: Episode) -> str:
    """The same task gives the same name: a second fix is a new version, not a second skill."""
    mark = hashlib.sha256(f"{repo} {task.id}".encode()).hexdigest()[:6]
    return f"{slug(f'fix {episode.title}', _NAME_WORDS)}-{mark}"


def signature(verdict: Verdict) -> str:
    """How the failure showed, by the tests at base: error lines, each once, or else the tests."""
    if verdict.before is None:
        return ""
    lines: dict[str, None] = {}
    for test in verdict.before.failing:
        lines |= dict.fromkeys(_telling(verdict.before.messages.get(test, "")))
    told = list(lines)[:_SIGNATURE_LINES] or [f"{t} fails" for t in verdict.before.failing[:3]]
    return bounded("\n".join(told), 1_500)


def skill_text(episode: Episode, verdict: Verdict) -> str:
    """The Markdown body: when, why, how, an example, and the check."""
    parts = [
        f"# {episode.title}",
        "## When to use",
        _symptoms(episode),
        "## Root cause",
        episode.root_cause or "Not stated; see the example below for what was wrong.",
        "## How it was fixed",
        _steps(episode),
        "## Example",
        f"The change that was {episode.grade}:",
        _fenced(episode.diff),
        "## How to check",
        _check(episode, verdict),
    ]
    return "\n\n".join(part for part in parts if part)


def _description(episode: Episode) -> str:
    symptom = episode.signature.partition("\n")[0] or episode.title
    places = ", ".join(file.path for file in episode.files[:3])
    text = f"How “{episode.title}” was fixed ({episode.grade} by tests) in {places}. "
    text += f"Use when a test fails with: {symptom}"
    return bounded(" ".join(text.split()), LONGEST_DESCRIPTION - 40)


def _symptoms(episode: Episode) -> str:
    lines = [f"- `{line.strip()}`" for line in episode.signature.splitlines()]
    lines += [f"- in `{hunk.section}` ({hunk.path})" for hunk in episode.hunks[:3] if hunk.section]
    lines += [f"- failing test: `{test}`" for test in episode.tests[:5]]
    first = bounded(episode.problem.strip().partition("\n\n")[0], 600)
    told = "\n".join(f"> {line}" for line in first.splitlines())
    return "\n".join(lines) + (f"\n\nThe issue said:\n\n{told}" if told else "")


def _cause(facts: Mapping[str, Any]) -> str:
    """What the solver knows of the cause: stated, or read off its edit."""
    if isinstance(facts.get("root_cause"), str):
        return str(facts["root_cause"])
    before, after = facts.get("before"), facts.get("after")
    if not (isinstance(before, str) and isinstance(after, str) and before):
        return ""
    location = facts.get("location")
    where = ""
    if isinstance(location, Mapping) and location.get("function"):
        where = f" in `{location['function']}`"
    return f"`{before.strip()}`{where} was wrong; `{after.strip()}` is right."


def _steps(episode: Episode) -> str:
    steps = ["Run the failing test and read which line raises or which value is wrong."]
    steps += [
        f"Look for the same shape in `{hunk.section}`."
        for hunk in episode.hunks[:1]
        if hunk.section
    ]
    steps += [f"Apply the edit `{name}` there." for name in _operators(episode.facts)]
    if episode.solution:
        steps.append(f"In the solver's words: {bounded(' '.join(episode.solution.split()), 600)}")
    steps.append("Keep the change as small as the example's, then check as below.")
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))


def _check(episode: Episode, verdict: Verdict) -> str:
    lines = [f"- `{test}` failed before and passes now." for test in episode.tests[:5]]
    if verdict.after is not None:
        lines.append(f"- Command: `{' '.join(verdict.after.command.split())[:300]}`")
    if verdict.regressions is not None:
        lines.append(f"- {len(verdict.regressions.passing)} other tests passed with it.")
    return "\n".join(lines)


def _fenced(diff: str) -> str:
    lines = diff.splitlines()
    shown = lines[:_EXAMPLE_LINES]
    if len(lines) > len(shown):
        shown.append(f"[… {len(lines) - len(shown)} more lines]")
    longest = max((len(m) for line in shown for m in re.findall(r"`{3,}", line)), default=2)
    fence = "`" * (longest + 1)
    return "\n".join((f"{fence}diff", *shown, fence))


def _judging(facts: RunFacts) -> tuple[str, ...]:
    before = facts.verdict.before
    return before.failing if before is not None and before.failing else facts.task.failing_tests


def _telling(message: str) -> list[str]:
    matches = (_ERROR_LINE.match(line.strip()) for line in message.splitlines())
    found = [match[1].strip()[:300] for match in matches if match]
    last = message.strip().splitlines()[-1:]
    return found or [line.strip()[:300] for line in last]


def _operators(facts: Mapping[str, Any]) -> Sequence[str]:
    names = facts.get("operators", ())
    return [str(name) for name in names] if isinstance(names, list | tuple) else [str(names)]
