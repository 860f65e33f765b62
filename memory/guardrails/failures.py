"""Guardrails from failed runs: the diagnosis becomes a rule (Steve-Evolving).

A command that never ended, the same command over and over, and an edit that broke tests. A command
that is seen to hang in a second run is blocked from then on.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from evo_agent.core.guard import Step, squeezed
from evo_agent.memory.guardrails.guardrails import (
    ACTING,
    MOST_RUNS,
    entered,
    make_guardrail,
    rarity,
    trace,
    went_well,
    witnesses,
)
from evo_agent.memory.guardrails.traces import edits, hung, steps
from evo_agent.memory.journal.bodies import Guardrail, Kind
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import AsOf, Record, State
from evo_agent.memory.journal.rows import Change, Stored
from evo_agent.memory.journal.states import transition
from evo_agent.memory.lifecycle.facts import RunFacts
from evo_agent.memory.lifecycle.lifecycle import SILENT

CIRCLES = 4  # times the same command with nothing edited in between: no progress
MOST_RULES = 5  # of one run
_MOST_LINES = 10
_COMMON = 300  # records; see memory.guardrails.regrets


def learn_failures(journal: Journal, facts: RunFacts) -> int:
    """Mine a run that did not hold; a second time for the same run changes nothing.

    Args:
        journal: where to.
        facts: of a judged run, with its steps.

    Returns:
        How many guardrails are new.

    Raises:
        StoreError: the journal cannot be written.
    """
    if facts.verdict.holds or facts.verdict.grade in SILENT:
        return 0
    run = f"failures-{facts.repo[:12]}-{facts.run}"
    before = journal.count()
    journal.write_once(run, lambda: _changes(journal, facts, run))
    return journal.count() - before


def _changes(journal: Journal, facts: RunFacts, run: str) -> list[Change]:
    changes: list[Change] = []
    known = journal.listed(kind=Kind.GUARDRAIL, repo=facts.repo)
    for record, bad in islice(_suspected(journal, facts, known), MOST_RULES):
        if journal.get(record.id) is None:
            changes += entered(record, bad, _good(journal, facts, record), run)
            changes += _replaced(known, record, run, changes)
    return changes


def _suspected(
    journal: Journal, facts: RunFacts, known: Sequence[Stored]
) -> Iterator[tuple[Record, Sequence[Step]]]:
    done = steps(facts.done)
    yield from ((record, done) for record in _hung(facts, known))
    again: dict[str, Any] = {"type": "trace", "repeats": CIRCLES}
    if not any(_says(stored, again) and stored.state in ACTING for stored in known):
        cause = f"a run that failed did the same {CIRCLES} times with nothing changed in between"
        yield _record(facts, again, cause), done
    yield from _broke(journal, facts)


def _hung(facts: RunFacts, known: Sequence[Stored]) -> Iterator[Record]:
    for command in hung(facts.done):
        predicate = {"type": "command", "equals": command}
        earlier = [s for s in known if _says(s, predicate) and not _of_task(s, facts)]
        cause = "it ran into the time that a command may take, and the run failed"
        if earlier:
            cause = "it ran into the time that a command may take, in runs of different tasks"
        parent = earlier[0].record.id if earlier else ""
        yield _record(facts, predicate, cause, block=bool(earlier), parent_id=parent)


def _broke(journal: Journal, facts: RunFacts) -> Iterator[tuple[Record, Sequence[Step]]]:
    """Edits of a patch that broke tests which had passed."""
    broken, candidate = facts.verdict.broken, facts.candidate
    if not broken or candidate is None:
        return
    made = edits(candidate.patch)
    for step in made:
        lines = list(dict.fromkeys(squeezed(step.added)))
        # A line that the journal has nowhere is as rare as can be: it is the run's own.
        rare = [
            line for line in lines if len(line.split()) > 1 and rarity(journal, line) <= _COMMON
        ]
        if not rare:
            continue
        shape = {"type": "edit", "path": step.path, "added": rare[:_MOST_LINES]}
        cause = f"a fix that did this to {step.path} broke {', '.join(broken[:3])}"
        yield _record(facts, shape, cause), made


def _good(
    journal: Journal, facts: RunFacts, record: Record
) -> Iterator[tuple[str, tuple[Step, ...]]]:
    body = record.body
    assert isinstance(body, Guardrail)
    if body.type == "edit":
        found = witnesses(journal, record)
    else:
        found = journal.listed(kind=Kind.EPISODE, repo=facts.repo, origin="run", limit=MOST_RUNS)
    return ((s.record.id, trace(s)) for s in found if went_well(s, ()))


def _replaced(
    known: Sequence[Stored], record: Record, run: str, changes: Sequence[Change]
) -> Iterator[Change]:
    """The warning that a block was made of gives way to it, once the block acts."""
    acts = any(c.record == record.id and c.kind == "state" for c in changes)
    parent = next((s for s in known if s.record.id == record.parent_id), None)
    if acts and parent is not None and parent.state in ACTING:
        yield transition(parent, State.ARCHIVED, run, f"{record.id[:12]} blocks it")


def _record(facts: RunFacts, predicate: Mapping[str, Any], cause: str, **more: Any) -> Record:
    when = facts.moment
    return make_guardrail(
        predicate,
        cause,
        issue_id=facts.task.id,
        repo=facts.repo,
        as_of=AsOf(facts.task.base, when),
        created=when,
        source_ids=(f"run:{facts.run}",),
        evidence_ids=facts.evidence,
        when_to_use="before the same is done again",
        tags=("run", facts.verdict.diagnosis.kind if facts.verdict.diagnosis else "failed"),
        **more,
    )


def _says(stored: Stored, predicate: Mapping[str, Any]) -> bool:
    body = stored.record.body
    return isinstance(body, Guardrail) and dict(body.predicate) == dict(predicate)


def _of_task(stored: Stored, facts: RunFacts) -> bool:
    body = stored.record.body
    return facts.task.id in body.issue_id.split("\n")
