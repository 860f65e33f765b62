"""What a commit's message and paths say without a model: intent, issues, keywords, tests."""

import re
from collections.abc import Iterable

from evo_agent.memory.journal.words import terms

_KEYWORDS = 12
_REFERENCE = re.compile(  # lengths are bounded: without, a hostile message takes hours
    r"(?<![\w&/])(?:[\w.-]{1,100}/[\w.-]{1,100})?#\d{1,7}\b|\bGH-\d{1,7}\b", re.IGNORECASE
)
_ISSUE_URL = re.compile(r"https?://[^\s/]+/([\w.-]+/[\w.-]+)/(?:issues|pull)/(\d{1,7})")
_REVERTS = re.compile(r"This reverts commit ([0-9a-f]{7,64})")
_TEST = re.compile(
    r"(^|/)(tests?|testing|spec|__tests__)/|(^|/)(test_[^/]+|[^/]+_test\.\w+|[^/]+\.(test|spec)\.\w+)$"
)
_INTENTS = (
    ("revert", re.compile(r"^revert\b", re.IGNORECASE)),
    (
        "fix",
        re.compile(
            r"\b(fix(e[sd])?|bug(fix)?|hotfix|regression|crash|clos(e[sd]?)|resolv(e[sd]?)|correct(s|ed)?)\b|#\d",
            re.IGNORECASE,
        ),
    ),
    (
        "docs",
        re.compile(r"^docs?\b|\b(documentation|docstring|readme|changelog|typo)\b", re.IGNORECASE),
    ),
    ("test", re.compile(r"^tests?\b|\badd(ed|s)? (a )?tests?\b", re.IGNORECASE)),
    (
        "refactor",
        re.compile(r"\b(refactor|clean ?up|simplif|rename|move[sd]?|style)\w*", re.IGNORECASE),
    ),
    (
        "feature",
        re.compile(
            r"^feat\b|\b(add(s|ed)?|implement(s|ed)?|introduce[sd]?|support)\b", re.IGNORECASE
        ),
    ),
)


def undone(message: str) -> str:
    """The commit that a message says it reverts, as git words it; empty when none."""
    found = _REVERTS.search(message)
    return found[1] if found else ""


def intent(title: str, paths: Iterable[str] = ()) -> str:
    """What a change is for: by its first line, or, when that says nothing, by its files."""
    for name, pattern in _INTENTS:
        if pattern.search(title):
            return name
    touched = list(paths)
    if touched and all(is_test(path) for path in touched):
        return "test"
    return "other"


def references(message: str) -> tuple[str, ...]:
    """Issues that a message names, as written (`#12`, `owner/name#12`), each once."""
    named = [match[0] for match in _REFERENCE.finditer(message)]
    named += [f"{name}#{number}" for name, number in _ISSUE_URL.findall(message)]
    return tuple(dict.fromkeys(named))[:20]


def keywords(message: str) -> tuple[str, ...]:
    """The message's identifiers first, then its other terms, each once."""
    words = list(dict.fromkeys(terms(message[:4000])))
    marked = [word for word in words if "_" in word or any(c.isdigit() for c in word)]
    return tuple(dict.fromkeys((*marked, *words)))[:_KEYWORDS]


def is_test(path: str) -> bool:
    """Whether a path is a test's, by the conventions of pytest, unittest, jest, go and others."""
    return bool(_TEST.search(path))
