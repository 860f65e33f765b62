"""Guardrails in memory: how one is made, proved against what is stored, and handed to a run.

A guardrail is born a candidate. It is validated when it objects to the trace that it was mined
from and to no stored good one (a commit that nobody undid, a run whose fix held); only validated
and active ones act. Evaluation is core's (core.guard).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from evo_agent.core.guard import LONGEST_REASON, MOST_RULES, Predicate, Rule, RuleError, Step
from evo_agent.core.guard import predicate as read
from evo_agent.memory.guardrails.traces import edits, steps
from evo_agent.memory.journal.bodies import Episode, Guardrail
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import Record, Scope, State, Trust, bounded, make
from evo_agent.memory.journal.redact import inert
from evo_agent.memory.journal.rows import Change, Stored, added
from evo_agent.memory.journal.states import transition
from evo_agent.memory.journal.words import terms

ACTING = (State.VALIDATED, State.ACTIVE)
_COMMON = 1_000  # records; terms that more hold are all the same to it
MOST_RUNS = 500  # newest runs that a rule about commands is proved against


def make_guardrail(
    predicate: Mapping[str, Any],
    cause: str,
    *,
    issue_id: str = "",
    block: bool = False,
    **envelope: Any,
) -> Record:
    """A candidate guardrail; redacted like every record.

    Args:
        predicate: see core.guard.
        cause: why, in words; shown to a model as data.
        issue_id: the task that it was mined from.
        block: whether it keeps the action from running, once validated.
        **envelope: as `records.make` takes it.

    Raises:
        RuleError: the predicate is none.
    """
    read(predicate)
    body = Guardrail(
        type=str(predicate["type"]),
        predicate=predicate,
        action="block" if block else "warn",
        root_cause=bounded(cause, LONGEST_REASON - 50),
        issue_id=issue_id,
    )
    return make(body, **{"scope": Scope.REPO, "trust": Trust.UNTRUSTED, **envelope})


def entered(
    record: Record, bad: Sequence[Step], good: Iterable[tuple[str, Sequence[Step]]], run: str
) -> list[Change]:
    """The events that take a guardrail in: validated, or left a candidate with the reason.

    Args:
        record: a guardrail.
        bad: the trace that it was mined from.
        good: (id, trace) of what went well.
        run: what the events belong to.

    Returns:
        None at all when it does not object to the bad trace: then it says nothing.
    """
    holds = predicate_of(record)
    if not trips(holds, bad):
        return []
    against = next((i for i, trace in good if trips(holds, trace)), "")
    if against:
        why = "it would have stopped something that went well"
        return [added(record), Change("note", record.id, {"why": why, "by": against, "run": run})]
    fresh = Stored(0, record, State.CANDIDATE, 0, 0)
    why = "objects to the trace that it was mined from, and to no stored good one"
    return [added(record), transition(fresh, State.VALIDATED, run, why)]


def trips(holds: Predicate, trace: Sequence[Step]) -> bool:
    """Whether a predicate objects anywhere in a trace."""
    return any(holds(step, trace[:number]) for number, step in enumerate(trace))


def trace(stored: Stored) -> tuple[Step, ...]:
    """What an episode did: its diff's edits, or its steps and then the edits of its patch."""
    body = stored.record.body
    if not isinstance(body, Episode):
        return ()
    return (*steps(body.steps), *edits(body.diff))


def went_well(stored: Stored, undone: Iterable[str]) -> bool:
    """Whether an episode is a good trace: a commit that none undid, a run whose fix held.

    Args:
        stored: the episode.
        undone: SHAs of commits that were taken back, as messages name them (maybe cut short).
    """
    body = stored.record.body
    if not isinstance(body, Episode):
        return False
    if body.origin == "commit":
        return not any(body.sha.startswith(sha) for sha in undone)
    return body.grade in ("proved", "reproduced")


def rarity(journal: Journal, line: str) -> int:
    """In how many records the rarest term of a line occurs; 0 for a line without terms.

    From _COMMON on it is not told how common.
    """
    rarest = _rarest(journal, line)
    return journal.frequency(rarest, _COMMON) if rarest else 0


def witnesses(journal: Journal, record: Record) -> list[Stored]:
    """Every stored episode of the repository that an edit's shape might object to.

    Whatever the shape objects to holds one of its lines, and so that line's rarest term.
    """
    body = record.body
    assert isinstance(body, Guardrail)
    rarest = {_rarest(journal, line) for line in body.predicate.get("added", ())}
    numbers = [number for number, _ in journal.matches(sorted(rarest - {""}))]
    found = journal.numbered(numbers).values() if numbers else ()
    return [s for s in found if s.record.repo == record.repo and isinstance(s.record.body, Episode)]


def _rarest(journal: Journal, line: str) -> str:
    known = [term for term in dict.fromkeys(terms(line)) if '"' not in term]
    return min(known, key=lambda term: (journal.frequency(term, _COMMON), term), default="")


def rules(guardrails: Iterable[Stored]) -> tuple[Rule, ...]:
    """Those that act, as a run takes them: blocks first, then by what they have earned."""
    acting = [s for s in guardrails if s.state in ACTING and isinstance(s.record.body, Guardrail)]
    acting.sort(key=_rank)
    return tuple(_rules(acting[:MOST_RULES]))


def _rank(stored: Stored) -> tuple[bool, bool, int, int]:
    body = stored.record.body
    blocks = isinstance(body, Guardrail) and body.action == "block"
    return (
        not blocks,
        stored.state is not State.ACTIVE,
        stored.losses - stored.wins,
        -stored.number,
    )


def _rules(acting: Iterable[Stored]) -> Iterator[Rule]:
    for stored in acting:
        body = stored.record.body
        assert isinstance(body, Guardrail)
        action = "block" if body.action == "block" else "warn"
        yield Rule(stored.record.id, action, body.predicate, inert(body.root_cause))


def predicate_of(record: Record) -> Predicate:
    """What a guardrail's record says, ready to be asked.

    Raises:
        RuleError: it is no guardrail, or its predicate cannot be read.
    """
    body = record.body
    if not isinstance(body, Guardrail):
        raise RuleError(f"a {record.kind} is no guardrail")
    return read(body.predicate)
