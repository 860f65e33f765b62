"""Guardrails where they act: rules, as data, looked at before an action runs.

Memory supplies the rules; they are fixed when a run starts and stand in its log, so that the same
actions meet the same objections when the run is resumed or replayed. A rule is a predicate over a
path, a command, an edit's shape or the trace, and no code:

    {"type": "command", "equals": "pytest -x"}            or "pattern" (core.patterns)
    {"type": "path", "glob": "build/*"}                   an edit of such a file
    {"type": "edit", "path": "a.py", "added": ["x = 1"], "least": 1}
                                                          adds so many of these lines there
    {"type": "trace", "repeats": 3}                       the same action again, nothing edited since
    {"type": "trace", "step": PREDICATE, "without": PREDICATE}
                                                          such a step, none of the other before it
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from re import compile as compile_glob
from typing import Any, Protocol, runtime_checkable

from evo_agent.core.patterns import PatternError, compile_pattern, found
from evo_agent.core.types import Query

MOST_RULES = 200  # of one run; memory hands over the most relevant
MOST_LINES = 40  # of an edit's shape
LONGEST_REASON = 500
_LONGEST_GLOB = 300
_MOST_STARS = 3  # each multiplies what a glob may try
_MOST_REPEATS = 100


@dataclass(frozen=True, slots=True)
class Step:
    """An action as a rule sees it.

    Attributes:
        kind: command | edit | view | other.
        command: what would run.
        path: the file that would change.
        added, removed: text that an edit puts in and takes out.
    """

    kind: str
    command: str = ""
    path: str = ""
    added: str = ""
    removed: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A guardrail as a run holds it; `reason` comes from outside and is data."""

    id: str
    action: str  # warn | block
    predicate: Mapping[str, Any]
    reason: str = ""


class RuleError(ValueError):
    """A predicate is none; the text says why."""


@runtime_checkable
class RuleSource(Protocol):
    """Where the rules of a run come from: memory, or a recorded run."""

    def guardrails(self, query: Query) -> tuple[Rule, ...]:
        """Rules that act at the query's base, blocks first."""
        ...


Predicate = Callable[[Step, Sequence[Step]], bool]


class Guard:
    """The rules of one run.

    Args:
        rules: see Rule; one that cannot be read never acts, and stands in `unread`.
    """

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules: list[tuple[Rule, Predicate]] = []
        self.unread: list[str] = []
        for rule in rules[:MOST_RULES]:
            try:
                self._rules.append((rule, predicate(rule.predicate)))
            except RuleError:
                self.unread.append(rule.id)

    def objections(self, step: Step, earlier: Sequence[Step]) -> tuple[Rule, ...]:
        """Rules that object to a step, given what was done before it, oldest first; blocks first."""
        tripped = [rule for rule, holds in self._rules if holds(step, earlier)]
        return tuple(sorted(tripped, key=lambda rule: rule.action != "block"))


def predicate(data: Mapping[str, Any]) -> Predicate:
    """Read a predicate.

    Raises:
        RuleError: it is none.
    """
    reader = _READERS.get(str(data.get("type")))
    if reader is None:
        raise RuleError(f"there is no predicate of type {data.get('type')!r:.40}")
    try:
        return reader(data)
    except (KeyError, TypeError, AttributeError, PatternError) as error:
        raise RuleError(f"a {data['type']} predicate cannot be read: {error}") from error


def squeezed(text: str) -> list[str]:
    """Lines of a text with their white space made one blank; empty ones left out."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in lines if line]


def _command(data: Mapping[str, Any]) -> Predicate:
    if "equals" in data:
        wanted = squeezed(_text(data["equals"]))
        return lambda step, _: step.kind == "command" and squeezed(step.command) == wanted
    pattern = compile_pattern(_text(data["pattern"]))
    return lambda step, _: step.kind == "command" and found(pattern, step.command)


def _path(data: Mapping[str, Any]) -> Predicate:
    glob = _text(data["glob"])
    if len(glob) > _LONGEST_GLOB or glob.count("*") > _MOST_STARS:
        raise RuleError(f"a glob is longer than {_LONGEST_GLOB}, or has too many stars")
    pattern = compile_glob(translate(glob))
    return lambda step, _: step.kind == "edit" and bool(pattern.match(_plain(step.path)))


def _edit(data: Mapping[str, Any]) -> Predicate:
    path, lines = _text(data["path"]), [_text(line) for line in data["added"]]
    least = data.get("least", len(lines))
    if not (0 < len(lines) <= MOST_LINES and isinstance(least, int) and 0 < least <= len(lines)):
        raise RuleError(
            f"an edit's shape has 1 to {MOST_LINES} lines, and asks for as many at most"
        )
    wanted = {line for text in lines for line in squeezed(text)}

    def holds(step: Step, _: Sequence[Step]) -> bool:
        if step.kind != "edit" or _plain(step.path) != path:
            return False
        new = set(squeezed(step.added)) - set(squeezed(step.removed))  # moved lines are not added
        return len(wanted & new) >= least

    return holds


def _trace(data: Mapping[str, Any]) -> Predicate:
    if "repeats" in data:
        most = data["repeats"]
        if not isinstance(most, int) or not 1 < most <= _MOST_REPEATS:
            raise RuleError(f"repeats is a whole number from 2 to {_MOST_REPEATS}")
        return lambda step, earlier: _again(step, earlier) >= most
    if "trace" in (data["step"].get("type"), data["without"].get("type")):
        raise RuleError("a trace is not made of traces")
    meant, excused = predicate(data["step"]), predicate(data["without"])
    return lambda step, earlier: meant(step, ()) and not any(excused(done, ()) for done in earlier)


def _again(step: Step, earlier: Sequence[Step]) -> int:
    """How often the step would have been done with this one, nothing edited in between."""
    times = 1
    for done in reversed(earlier):
        if done.kind == "edit" and done != step:
            break
        times += done == step
    return times


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise RuleError("a text is missing")
    return value


def _plain(path: str) -> str:
    return path.removeprefix("./")


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Predicate]] = {
    "command": _command,
    "path": _path,
    "edit": _edit,
    "trace": _trace,
}
