"""Who may answer a query: the filter on time, which does not depend on the query's text.

Of commits only proper ancestors of the base, of runs, skills and what was concluded from them only
what is older than now; nothing of the same task, and nothing that names the same issue.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from evo_agent.core.types import Query
from evo_agent.memory.history.messages import references
from evo_agent.memory.journal.features import issue_number
from evo_agent.memory.journal.records import Scope, State
from evo_agent.memory.journal.rows import Place

Ancestors = Callable[[str, str], frozenset[str]]  # (repo, base) to SHAs of proper ancestors
UNSEEN = (State.QUARANTINED, State.ARCHIVED)
_NUMBERED = re.compile(r"^[\w.-]{1,100}__[\w.-]{1,100}-(\d{1,7})$")  # as SWE-bench names tasks


def may_answer(place: Place, query: Query, before: Callable[[str], bool], now: float) -> bool:
    """Whether a record may answer, by all but the issues that its text names.

    Args:
        place: where it stands.
        query: the question.
        before: whether a commit is a proper ancestor of the base.
        now: seconds since 1970; later records are from the future.
    """
    if query.kinds and place.kind not in query.kinds:
        return False
    if place.state in UNSEEN or place.time > now:
        return False
    if place.scope == Scope.REPO and (not query.repo or place.repo != query.repo):
        return False
    if not set(tasks(query)).isdisjoint(place.issue.split("\n")):
        return False
    return not place.sha or (bool(query.base) and before(place.sha))


def allowed(
    places: Sequence[Place], query: Query, ancestors: Ancestors, now: float
) -> dict[str, int]:
    """The records that may answer by `may_answer`: id to number."""
    past: list[frozenset[str]] = []

    def before(sha: str) -> bool:
        if not past:
            past.append(ancestors(query.repo, query.base))
        return sha in past[0]

    return {p.id: p.number for p in places if may_answer(p, query, before, now)}


def tasks(query: Query) -> list[str]:
    """Ids of the query's tasks: its issue_id may hold several, one a line."""
    return [line for line in query.issue_id.split("\n") if line]


def issues(query: Query) -> set[str]:
    """Numbers of the issues that the query's issue_id names.

    It names one as `#12`, `owner/name#12` or `GH-12`, as an issue's address, or as SWE-bench does
    (`owner__name-12`); a task's id alone, which is a hash, names none.
    """
    lines = tasks(query)
    found = {issue_number(named) for line in lines for named in references(line)}
    return found | {match[1].lstrip("0") for line in lines if (match := _NUMBERED.match(line))}


def names_issue(named: Iterable[str], numbers: set[str]) -> bool:
    """Whether one of the issues that a record names (Episode.references) is among some."""
    return any(issue_number(reference) in numbers for reference in named)
