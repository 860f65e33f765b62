"""A found record as a solver and a person see it: bounded, inert, with its reasons."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from evo_agent.core.types import Recalled
from evo_agent.memory.journal.bodies import Episode, Guardrail, Insight, Skill
from evo_agent.memory.journal.records import bounded
from evo_agent.memory.journal.redact import inert
from evo_agent.memory.journal.rows import Stored
from evo_agent.memory.recall.recall import Found

LONGEST_SHOWN = 2_000  # characters of a record's text
LONGEST_DIFF_SHOWN = 3_000
MOST_PATHS = 20
_MOST_TESTS = 5


def recalled(found: Found) -> Recalled:
    """The answer that core's loops and the command line read."""
    stored = found.stored
    record = stored.record
    body = record.body
    paths = tuple(f.path for f in body.files) if isinstance(body, Episode) else ()
    return Recalled(
        id=record.id,
        kind=record.kind.value,
        score=round(found.score, 4),
        title=_line(title(stored)),
        text=inert(bounded(text(stored), LONGEST_SHOWN)),
        why=_line(found.why),
        trust=record.trust.value,
        state=stored.state.value,
        paths=tuple(_line(path) for path in paths[:MOST_PATHS]),
        diff=inert(bounded(body.diff, LONGEST_DIFF_SHOWN)) if isinstance(body, Episode) else "",
        data={**data(stored), "uses": stored.uses, "wins": stored.wins},
    )


def title(stored: Stored) -> str:
    """One line that names a record."""
    match stored.record.body:
        case Episode(title=told):
            return told
        case Skill(name=name):
            return name
        case Insight(type=kind) | Guardrail(type=kind):
            return stored.record.when_to_use or kind


def text(stored: Stored) -> str:
    """What a record says."""
    match stored.record.body:
        case Episode() as episode:
            return _episode(episode)
        case Skill(description=description, body=body):
            return f"{description}\n\n{body}"
        case Insight(text=told, precondition=when, effect=effect):
            return "\n".join(part for part in (when, told, effect) if part)
        case Guardrail(action=action, root_cause=cause):
            return f"{action}: {cause}"


def data(stored: Stored) -> Mapping[str, Any]:
    """Kind-specific facts; of a run, its `facts` (operators, location, …) among them."""
    match stored.record.body:
        case Episode(origin="commit") as commit:
            return {
                "origin": "commit",
                "commit": commit.sha,
                "date": _date(commit.authored),
                "intent": commit.intent,
                "tests": list(commit.tests_changed),
                "references": list(commit.references),
                "reverts": commit.reverts,
                "functions": [hunk.section for hunk in commit.hunks if hunk.section][:20],
            }
        case Episode() as run:
            return {
                "origin": run.origin,
                "issue_id": run.issue_id,
                "grade": run.grade,
                "tests": list(run.tests),
                "signature": run.signature,
                "facts": dict(run.facts),
            }
        case Skill(name=name, issue_id=issue, facts=facts):
            return {"name": name, "issue_id": issue, "facts": dict(facts)}
        case Insight(type=kind) | Guardrail(type=kind):
            return {"type": kind}


def _episode(episode: Episode) -> str:
    """What happened; of a run, what failed before what was asked, which may be cut (ExpeRepair)."""
    asked = ("", episode.problem)
    parts = (
        *((asked,) if episode.origin == "commit" else ()),
        ("Failing tests: ", ", ".join(episode.tests[:_MOST_TESTS])),
        ("Failure: ", episode.signature),
        ("Root cause: ", episode.root_cause),
        ("Solution: ", episode.solution),
        ("Verdict: ", f"{episode.grade} ({episode.reason})" if episode.grade else ""),
        ("Reverts ", episode.reverts),
        *((asked,) if episode.origin != "commit" else ()),
    )
    return "\n".join(f"{head}{told}" for head, told in parts if told)


def _date(seconds: int) -> str:
    """ISO 8601; empty for what no calendar has, which a commit may claim."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""


def _line(value: str) -> str:
    return " ".join(inert(value).split())
