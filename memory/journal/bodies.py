"""What records say: the bodies of the four kinds, and their JSON.

A body leaves out what is empty, at every level, so that a field added later changes no id.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from functools import cache
from typing import Any


class Kind(StrEnum):
    """Kinds of record."""

    EPISODE = "episode"
    INSIGHT = "insight"
    GUARDRAIL = "guardrail"
    SKILL = "skill"


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file of a change; `old` is the former path of a rename; status as git spells it."""

    path: str
    status: str = "M"
    old: str = ""
    binary: bool = False
    submodule: bool = False


@dataclass(frozen=True, slots=True)
class Hunk:
    """Where a change touches a file: 1-based first line and count, before and after."""

    path: str
    old_start: int = 0
    old_lines: int = 0
    new_start: int = 0
    new_lines: int = 0
    section: str = ""  # the enclosing definition, as git's hunk header gives it


@dataclass(frozen=True, slots=True)
class Episode:
    """Something that happened: a commit, or a run (episodic memory). Immutable.

    Attributes:
        origin: commit | run | gui | human.
        issue_id: the run's task; empty for commits.
        title: one line.
        base: commit that the change starts from (a commit's first parent).
        sha, parents, authored: of a commit; seconds since 1970.
        problem: issue text, or the commit's message.
        root_cause, solution: as far as known.
        intent: fix | feature | refactor | docs | test | revert | other.
        references: issues that a message names ("#12", "owner/name#12").
        reverts: commit that this one undoes.
        files, hunks, tests_changed, diff: the change; `diff` is bounded.
        tests: ids of the tests that judged a run.
        signature: how the failure showed (error type, message, failing tests).
        grade, reason: the verdict's, for runs.
        steps: what was done, as the solver logged it.
        facts: the solver's own (operators, location, …), never believed by a verifier.
        retrieved, cited: ids of records shown to the solver, and used by it.
        cost: tokens, seconds, dollars.
    """

    origin: str
    title: str
    issue_id: str = ""
    base: str = ""
    sha: str = ""
    parents: tuple[str, ...] = ()
    authored: int = 0
    problem: str = ""
    root_cause: str = ""
    solution: str = ""
    intent: str = ""
    keywords: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    reverts: str = ""
    files: tuple[FileChange, ...] = ()
    hunks: tuple[Hunk, ...] = ()
    tests_changed: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    diff: str = ""
    signature: str = ""
    grade: str = ""
    reason: str = ""
    steps: tuple[Mapping[str, Any], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    retrieved: tuple[str, ...] = ()
    cited: tuple[str, ...] = ()
    cost: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Insight:
    """Something concluded (semantic memory): strategy, contrast, rule, law, tool, playbook.

    Attributes:
        type: see above; insights of different types never merge.
        precondition, effect: predicates over a run (memory.lifecycle.predicates); empty for prose.
        issue_id: tasks that it was concluded from, one a line; it never answers for them.
        merged: ids of the near-duplicates that became this one.
    """

    type: str
    text: str
    precondition: str = ""
    effect: str = ""
    issue_id: str = ""
    merged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Guardrail:
    """An executable predicate over a path, a command, a trace or an edit's shape.

    Attributes:
        issue_id: tasks that it was mined from, one a line; it never answers for them.
    """

    type: str
    predicate: Mapping[str, Any]
    action: str = "warn"  # warn | block
    root_cause: str = ""
    issue_id: str = ""


@dataclass(frozen=True, slots=True)
class Skill:
    """An Agent Skills folder, as text: frontmatter fields, body, further files.

    Attributes:
        issue_id: the task it was born from.
        facts: what a solver can use without reading (operators of the proved fix).
        files: relative path to text, below scripts/ or references/.
    """

    name: str
    description: str
    body: str
    issue_id: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


Body = Episode | Insight | Guardrail | Skill
_BODIES: Mapping[Kind, type[Body]] = {
    Kind.EPISODE: Episode,
    Kind.INSIGHT: Insight,
    Kind.GUARDRAIL: Guardrail,
    Kind.SKILL: Skill,
}


def kind_of(body: Body) -> Kind:
    """The kind of record that a body makes."""
    return next(kind for kind, of in _BODIES.items() if isinstance(body, of))


def body_to_json(body: Body) -> dict[str, Any]:
    """A body as JSON-ready data, empty fields left out."""
    data = _filled(body)
    for name in ("files", "hunks"):
        if isinstance(body, Episode) and name in data:
            data[name] = [_filled(item) for item in data[name]]
    return data


def body_from_json(kind: Kind, data: Mapping[str, Any]) -> Body:
    """The inverse; fields of a newer version are left out."""
    values = _known(_BODIES[kind], data)
    if kind is Kind.EPISODE:
        for name, of in (("files", FileChange), ("hunks", Hunk)):
            values[name] = tuple(of(**item) for item in values.get(name, ()))
    return _BODIES[kind](**values)


def _filled(item: Body | FileChange | Hunk) -> dict[str, Any]:
    of: type = type(item)
    required = _required(of)
    values = ((name, getattr(item, name)) for name in item.__dataclass_fields__)
    return {name: value for name, value in values if value or value is None or name in required}


@cache
def _required(of: type) -> frozenset[str]:
    with_default = (f.name for f in fields(of) if (f.default, f.default_factory) != (MISSING,) * 2)
    return frozenset(f.name for f in fields(of)) - frozenset(with_default)


def _known(of: type, data: Mapping[str, Any]) -> dict[str, Any]:
    names = {f.name for f in fields(of)}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in data.items()
        if name in names
    }
