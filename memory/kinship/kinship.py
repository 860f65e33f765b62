"""Kinship: the earlier fixes that are most like a task, and in what they are.

A fix is kin when it mended the same function, or the same file, when its message resembles the
task's text, or when its edit has the shape that fixes with such messages have. Where the task
lies is not known for sure: places come with a score, and the newest fix of a place counts most.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

from evo_agent.memory.kinship.precedents import LARGEST, Precedent
from evo_agent.memory.kinship.resemblance import Resemblance, best_told
from evo_agent.memory.kinship.shapes import Function

_VOTERS = 30  # nearest messages that vote on the kind of a fix
_NEAR = 0.3  # a message that shares so much is worth a word in `why`


@dataclass(frozen=True, slots=True)
class Weights:
    """What each piece of evidence is worth: fitted by bench/history.py on twelve repositories."""

    message: float = 1.0  # the bench has diffs' words besides, with 1.9
    newest_function: float = 3.7
    newest_told: float = 3.7
    newest_file: float = 1.2
    file: float = 0.3
    recent: float = 1.3
    function: float = 0.0  # adds nothing to the newest of a function: off
    kind: float = 0.0  # adds nothing to finding the same function: off


WEIGHTS = Weights()
_PARTS = tuple(part.name for part in fields(Weights))
_Place = TypeVar("_Place", str, Function)
_Seen = tuple[float, float, str]
_NOWHERE: _Seen = (0.0, 0.0, "")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a precedent is kin; every part 0…1, best score of a place it touches where one is meant.

    Attributes:
        message: resemblance of its message.
        function, file: a place in question that it touches.
        newest_function, newest_file: the same, less for each newer fix of that place.
        newest_told: like newest_function, for functions that like-worded fixes touched.
        recent: its place among all fixes, 1 for the newest.
        kind: share of like-worded fixes that have its shape.
        place: the best of these places, for people.
    """

    message: float = 0.0
    function: float = 0.0
    newest_function: float = 0.0
    file: float = 0.0
    newest_file: float = 0.0
    newest_told: float = 0.0
    recent: float = 0.0
    kind: float = 0.0
    place: str = ""


@dataclass(frozen=True, slots=True)
class Kin:
    """An earlier fix that is like the task."""

    precedent: Precedent
    score: float
    why: str


def kin(
    changes: Sequence[Precedent],
    text: str,
    files: Mapping[str, float],
    functions: Mapping[Function, float],
    *,
    count: int = 10,
    weights: Weights = WEIGHTS,
) -> tuple[Kin, ...]:
    """The earlier fixes that are most like a task, best first; none without any evidence.

    Args:
        changes: oldest first, only those that may answer, paths under today's names.
        text: the task's, title first.
        files: path to how likely the task lies there, 0…1 (1 for what is known).
        functions: (path, name) to the same.
        count: at most so many.
        weights: see Weights.
    """
    fixes = fixes_only(changes)
    alike = Resemblance(fixes).to(text)
    scored = [
        Kin(fixes[at], round(weighed(found, weights), 4), _why(found))
        for at, found in evidence(fixes, alike, files, functions).items()
    ]
    near = [one for one in scored if one.score > 0]
    return tuple(sorted(near, key=lambda one: (-one.score, -one.precedent.time)))[:count]


def weighed(found: Evidence, weights: Weights = WEIGHTS) -> float:
    """The score of a piece of evidence."""
    return float(sum(getattr(weights, name) * getattr(found, name) for name in _PARTS))


def evidence(
    fixes: Sequence[Precedent],
    alike: Mapping[int, float],
    files: Mapping[str, float],
    functions: Mapping[Function, float],
) -> dict[int, Evidence]:
    """Position to evidence, for every fix that has any.

    Args:
        fixes: oldest first.
        alike: position to resemblance of its message.
        files: see kin.
        functions: see kin.
    """
    by_file = _at(fixes, files, lambda one: one.files)
    by_function = _at(fixes, functions, lambda one: one.functions)
    by_told = _at(fixes, _told(fixes, alike), lambda one: one.functions)
    votes = _votes(fixes, alike)
    found: dict[int, Evidence] = {}
    for at in alike.keys() | by_file.keys() | by_function.keys():
        file, newest_file, path = by_file.get(at, _NOWHERE)
        function, newest_function, place = by_function.get(at, _NOWHERE)
        found[at] = Evidence(
            message=alike.get(at, 0.0),
            function=function,
            newest_function=newest_function,
            file=file,
            newest_file=newest_file,
            newest_told=by_told.get(at, _NOWHERE)[1],
            recent=(at + 1) / len(fixes),
            kind=votes.get(fixes[at].shape, 0.0),
            place=place or path,
        )
    return found


def _at(
    fixes: Sequence[Precedent],
    places: Mapping[_Place, float],
    touched: Callable[[Precedent], Iterable[_Place]],
) -> dict[int, _Seen]:
    """Of each fix: the best score of a place it touches; the best discounted by newer fixes; where."""
    newer: dict[_Place, int] = defaultdict(int)
    found: dict[int, _Seen] = {}
    for at in range(len(fixes) - 1, -1, -1):
        best, newest, where = 0.0, 0.0, ""
        for place in touched(fixes[at]):
            score = places.get(place, 0.0)
            if score:
                best = max(best, score)
                discounted = score / (1 + newer[place])
                if discounted > newest:
                    newest, where = discounted, _spelt(place)
                newer[place] += 1
        if best:
            found[at] = (best, newest, where)
    return found


def _spelt(place: str | Function) -> str:
    return place if isinstance(place, str) else "::".join(place)


def _told(fixes: Sequence[Precedent], alike: Mapping[int, float]) -> dict[Function, float]:
    """Functions that like-worded fixes touched, the most likely with 1."""
    best = best_told(fixes, alike, lambda one: one.functions)
    highest = max((value for value, _ in best.values()), default=1.0)
    return {function: value / highest for function, (value, _) in best.items()}


def _votes(fixes: Sequence[Precedent], alike: Mapping[int, float]) -> dict[tuple[str, ...], float]:
    nearest = sorted(alike, key=lambda at: -alike[at])[:_VOTERS]
    votes: dict[tuple[str, ...], float] = defaultdict(float)
    for at in nearest:
        if fixes[at].shape:
            votes[fixes[at].shape] += alike[at] ** 2
    whole = sum(votes.values()) or 1.0
    return {shape: value / whole for shape, value in votes.items()}


def _why(found: Evidence) -> str:
    parts = []
    if found.newest_function >= _NEAR:
        parts.append(f"mended {found.place}")
    elif found.newest_file >= _NEAR:
        parts.append(f"mended {found.place.partition('::')[0]}")
    if found.message >= _NEAR:
        parts.append(f"its message says {found.message:.0%} of what the task says")
    if found.kind >= _NEAR:
        parts.append("the edit that fixes with such words have")
    return "; ".join(parts) or "some words and places in common"


def fixes_only(changes: Iterable[Precedent]) -> list[Precedent]:
    """Fixes that are no sweeps."""
    return [one for one in changes if one.intent == "fix" and len(one.files) <= LARGEST]
