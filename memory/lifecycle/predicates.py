"""A small language for conditions over a run: parsed, bounded, never evaluated as code.

    error == "TypeError" and paths contains "src/a.py" and not (rounds > 1)

A fact is a word, a number, yes or no, or several words. What a predicate asks and nobody knows
makes it unknown (Kleene's third value), never true and never false.
"""

import json
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from evo_agent.core.errors import UsageError

Fact = str | float | bool | tuple[str, ...]
Facts = Mapping[str, Fact]

LONGEST = 1_000  # characters of a predicate
DEEPEST = 20  # parentheses and negations inside each other
_TOKEN = re.compile(
    r"\s*+(?:(?P<string>\"(?:[^\"\\]|\\.)*+\")|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<word>[A-Za-z_][\w.]*)|(?P<sign>==|!=|<=|>=|<|>|\(|\)))"
)
_ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TEXT: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda has, asked: asked in has,
    "startswith": str.startswith,
    "endswith": str.endswith,
}
_RESERVED = frozenset({"and", "or", "not", "true", "false", *_TEXT})


@dataclass(frozen=True, slots=True)
class Comparison:
    """One fact against one value."""

    name: str
    sign: str
    value: str | float | bool


@dataclass(frozen=True, slots=True)
class Negation:
    """Not."""

    of: "Predicate"


@dataclass(frozen=True, slots=True)
class Junction:
    """All of several, or any."""

    every: bool
    of: tuple["Predicate", ...]


Predicate = Comparison | Negation | Junction


def parse(text: str) -> Predicate:
    """Read a predicate.

    Raises:
        UsageError: it is none, too long or too deep.
    """
    if len(text) > LONGEST:
        raise _refused(f"longer than {LONGEST} characters")
    parser = _Parser(_tokens(text))
    found = parser.any_of(0)
    if parser.rest:
        raise _refused(f"{parser.rest[0][1]!r} is left over")
    return found


def holds(predicate: Predicate, facts: Facts) -> bool | None:
    """Whether it is so; None when the facts do not tell."""
    match predicate:
        case Comparison():
            return _compared(predicate, facts.get(predicate.name))
        case Negation(of=inner):
            found = holds(inner, facts)
            return None if found is None else not found
        case Junction(every=every, of=parts):
            found_parts = [holds(part, facts) for part in parts]
            if (not every) in found_parts:  # one false decides "and", one true decides "or"
                return not every
            return None if None in found_parts else every


def same(name: str, value: str) -> str:
    """The text of `name == "value"`, whatever the value holds."""
    return f"{name} == {json.dumps(value)}"


def includes(name: str, value: str) -> str:
    """The text of `name contains "value"`."""
    return f"{name} contains {json.dumps(value)}"


def _compared(asked: Comparison, fact: Fact | None) -> bool | None:
    value = asked.value
    if fact is None:
        return None
    if asked.sign in _TEXT:
        return _worded(asked, fact)
    if asked.sign in ("==", "!="):
        if isinstance(fact, tuple) or isinstance(fact, str) != isinstance(value, str):
            return None
        return (fact == value) == (asked.sign == "==")
    if isinstance(fact, int | float) and isinstance(value, int | float):
        return _ORDER[asked.sign](fact, value)
    return None


def _worded(asked: Comparison, fact: Fact) -> bool | None:
    if not isinstance(asked.value, str):
        return None
    if isinstance(fact, tuple) and asked.sign == "contains":
        return asked.value in fact
    words = fact if isinstance(fact, tuple) else (fact,)
    if not all(isinstance(word, str) for word in words):
        return None
    return any(_TEXT[asked.sign](str(word), asked.value) for word in words)


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise _refused(f"{text[at : at + 20]!r} is not understood")
        found.append((str(match.lastgroup), match[str(match.lastgroup)]))
        at = match.end()
    return found


class _Parser:
    """Recursive descent; `rest` is what was not read yet."""

    def __init__(self, rest: list[tuple[str, str]]) -> None:
        self.rest = rest

    def any_of(self, depth: int) -> Predicate:
        parts = [self._all_of(depth)]
        while self._took("or"):
            parts.append(self._all_of(depth))
        return parts[0] if len(parts) == 1 else Junction(every=False, of=tuple(parts))

    def _all_of(self, depth: int) -> Predicate:
        parts = [self._one(depth)]
        while self._took("and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Junction(every=True, of=tuple(parts))

    def _one(self, depth: int) -> Predicate:
        if depth > DEEPEST:
            raise _refused(f"more than {DEEPEST} levels deep")
        if self._took("not"):
            return Negation(self._one(depth + 1))
        if self._took("("):
            inner = self.any_of(depth + 1)
            if not self._took(")"):
                raise _refused("a parenthesis stays open")
            return inner
        return self._comparison()

    def _comparison(self) -> Comparison:
        (kind, name), (_, sign), value = self._next(), self._next(), self._next()
        if kind != "word" or name in _RESERVED:
            raise _refused(f"{name!r} is not the name of a fact")
        if sign not in ("==", "!=", *_ORDER, *_TEXT):
            raise _refused(f"{sign!r} compares nothing")
        return Comparison(name, sign, _value(*value))

    def _next(self) -> tuple[str, str]:
        if not self.rest:
            raise _refused("it ends too early")
        return self.rest.pop(0)

    def _took(self, word: str) -> bool:
        if self.rest and self.rest[0][0] != "string" and self.rest[0][1] == word:
            self.rest.pop(0)
            return True
        return False


def _value(kind: str, text: str) -> str | float | bool:
    if kind == "string":
        try:
            return str(json.loads(text, strict=False))
        except ValueError as error:
            raise _refused(f"{text} is not a string") from error
    if kind == "number":
        return float(text)
    if text in ("true", "false"):
        return text == "true"
    raise _refused(f"{text!r} is not a value (strings stand in double quotes)")


def _refused(reason: str) -> UsageError:
    return UsageError(
        f"a predicate is refused: {reason}",
        'write it like: error == "TypeError" and paths contains "a.py"',
    )
