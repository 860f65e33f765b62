"""What a verdict moves: credit of what was used, and what it helped becomes active."""

from collections.abc import Iterable, Iterator, Sequence

from evo_agent.core.types import Grade
from evo_agent.memory.journal.bodies import Insight, Kind, Skill
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import State
from evo_agent.memory.journal.rows import Change, Stored
from evo_agent.memory.journal.states import steps
from evo_agent.memory.lifecycle.credit import CONTROL, Trial, trial_event
from evo_agent.memory.lifecycle.facts import RunFacts


def credits_of(journal: Journal, facts: RunFacts) -> Iterator[tuple[Stored, Change]]:
    """A win or a loss for each record that was cited or that fired, and for no other.

    A control run worked with memory off: whatever it claims, it credits nothing.
    """
    seen: set[str] = set()
    for record_id in facts.used if facts.arm != CONTROL else ():
        stored = journal.get(record_id)
        if stored is None or stored.record.id in seen or same_task(stored, facts):
            continue
        seen.add(stored.record.id)
        data = {
            "win": facts.verdict.holds,
            "grade": facts.verdict.grade,
            "run": facts.run,
            "repo": facts.repo,
            "task": facts.family or facts.task.id,
        }
        yield stored, Change("credit", stored.record.id, data)


def trial_of(facts: RunFacts, episode_id: str, credited: Iterable[Stored]) -> Change:
    """The event that counts the run, in its arm."""
    trial = Trial(
        run=facts.run,
        repo=facts.repo,
        task=facts.family or facts.task.id,
        win=facts.verdict.holds,
        arm=facts.arm,
        credited=tuple(stored.record.id for stored in credited),
        episode=episode_id,
        issue=facts.task.id,
    )
    return trial_event(trial)


def promotions(
    journal: Journal, facts: RunFacts, cited: Sequence[Stored]
) -> Iterator[tuple[str, list[Change]]]:
    """Skills and insights that now helped on a different bug: name, and the steps to active.

    A skill is helped by a citation of its episode too. An insight must have been validated.
    Only `proved` counts: a test that the solver wrote itself promotes nothing.
    """
    if facts.verdict.grade is not Grade.PROVED:
        return
    helped: dict[str, Stored] = {}
    for stored in cited:
        made = [s for s in journal.made_from(stored.record.id) if s.record.kind is Kind.SKILL]
        helped |= {s.record.id: s for s in (stored, *made) if not same_task(s, facts)}
    why = f"helped to prove a fix of a different task, {facts.task.id}"
    for one in helped.values():
        found = list(steps(one.record.id, one.state, _path(one), facts.run, why))
        if found:
            yield _name(one), found


def same_task(stored: Stored, facts: RunFacts) -> bool:
    """Whether a record comes from the very task that the run was about."""
    return facts.task.id in stored.record.body.issue_id.split("\n")


def _path(stored: Stored) -> tuple[State, ...]:
    if stored.record.kind is Kind.SKILL and stored.state in (State.CANDIDATE, State.VALIDATED):
        return (State.VALIDATED, State.ACTIVE)
    if stored.record.kind is Kind.INSIGHT and stored.state is State.VALIDATED:
        return (State.ACTIVE,)
    return ()


def _name(stored: Stored) -> str:
    match stored.record.body:
        case Skill(name=name):
            return name
        case Insight(type=kind):
            return f"{kind} {stored.record.id[:12]}"
        case _:
            return stored.record.id[:12]
