"""What was done, as steps that a guardrail can look at: from a diff, and from an episode."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evo_agent.core.guard import Step
from evo_agent.memory.lifecycle.trace import LONGEST_ACTION

KILLED = 124  # the exit code of a command that ran into its time (core.types.CommandResult)
_SECTION = re.compile(r"^diff --git ", re.MULTILINE)
_NEW = re.compile(r"^\+\+\+ (?:b/)?([^\t\n]+)", re.MULTILINE)
_OLD = re.compile(r"^--- (?:a/)?([^\t\n]+)", re.MULTILINE)


def edits(diff: str) -> tuple[Step, ...]:
    """The edits that a git diff makes, one a file; of a deleted file nothing is added."""
    return tuple(_edits(diff))


def _edits(diff: str) -> Iterator[Step]:
    for section in _SECTION.split(diff)[1:]:
        head, mark, body = section.partition("\n@@")
        if not mark:
            continue
        new, old = _NEW.search(head), _OLD.search(head)
        deleted = new is None or new[1] == "/dev/null"
        path = old[1] if deleted and old else new[1] if new else ""
        lines = body.split("\n")[1:]
        added = [line[1:] for line in lines if line.startswith("+")]
        removed = [line[1:] for line in lines if line.startswith("-")]
        yield Step("edit", path=path, added="\n".join(added), removed="\n".join(removed))


def steps(kept: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """An episode's steps (memory.lifecycle.trace) as a guardrail sees them: commands and edits."""
    told = (str(step.get("action", "")).partition(" ") for step in kept)
    return tuple(
        Step("command", command=what) if how == "$" else Step("edit", path=what)
        for how, _, what in told
        if how in ("$", "write")
    )


def hung(kept: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Commands of an episode that ran into their time each time they were run."""
    ran = [(str(step.get("action", "")), step.get("exit")) for step in kept]
    ended = {action for action, code in ran if code != KILLED}
    told = dict.fromkeys(a for a, code in ran if code == KILLED and a not in ended)
    return tuple(
        action[2:] for action in told if action.startswith("$ ") and len(action) < LONGEST_ACTION
    )
