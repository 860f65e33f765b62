"""From a verdict to what memory keeps: credit, promotion, and the states that records go through.

    candidate → validated → active → quarantined → archived

Every step is an event that names the run it came from. A run that no verifier judged leaves
nothing, and neither does one whose verdict says nothing about the patch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evo_agent.core.errors import EvoError, StoreError
from evo_agent.core.events import read_events
from evo_agent.core.types import Grade
from evo_agent.memory.bodies import Kind, Skill
from evo_agent.memory.distil import fix_skill, run_episode, skill_name
from evo_agent.memory.facts import RunFacts
from evo_agent.memory.journal import Journal
from evo_agent.memory.records import Record, State
from evo_agent.memory.rows import Change, Stored, added

NEXT: Mapping[State, tuple[State, ...]] = {
    State.CANDIDATE: (State.VALIDATED, State.QUARANTINED, State.ARCHIVED),
    State.VALIDATED: (State.ACTIVE, State.QUARANTINED, State.ARCHIVED),
    State.ACTIVE: (State.QUARANTINED, State.ARCHIVED),
    State.QUARANTINED: (State.CANDIDATE, State.ARCHIVED),
    State.ARCHIVED: (State.CANDIDATE,),
}
# Verdicts that say nothing about the patch: neither episode nor credit comes of them.
SILENT = (Grade.FLAKY, Grade.INFRASTRUCTURE)


class NoVerdictError(EvoError):
    """Somebody tried to write back what no verifier has judged."""


@dataclass(frozen=True, slots=True)
class WriteBack:
    """What a run left in memory; ids are empty for what it did not.

    Attributes:
        episode_id: the run's episode.
        skill_id, skill_name: the candidate skill of a proved fix.
        promoted: names of skills that this run made active.
        credited: ids of the records that got a win or a loss.
        silent: why nothing was written, where that is so.
    """

    episode_id: str = ""
    skill_id: str = ""
    skill_name: str = ""
    promoted: tuple[str, ...] = ()
    credited: tuple[str, ...] = ()
    silent: str = ""


def utility(uses: int, wins: int) -> float:
    """Laplace's estimate of the chance to help: (wins + 1) / (uses + 2), as EvolveR scores."""
    return (wins + 1) / (uses + 2)


def transition(stored: Stored, to: State, run: str, why: str) -> Change:
    """The event that moves a record on.

    Raises:
        StoreError: no such step leads from its present state.
    """
    if to not in NEXT[stored.state]:
        raise StoreError(
            f"a record does not go from {stored.state} to {to}",
            f"from {stored.state} it goes to {', '.join(NEXT[stored.state])}",
        )
    return Change(
        "state", stored.record.id, {"from": stored.state, "to": to, "run": run, "why": why}
    )


def write_back(journal: Journal, facts: RunFacts) -> WriteBack:
    """Store a judged run in one transaction; a second time for the same run changes nothing.

    Raises:
        NoVerdictError: there is no verifier event behind it.
        StoreError: the journal cannot be written; then nothing of the run is.
    """
    require_verdict(facts)
    if facts.verdict.grade in SILENT:
        return WriteBack(silent=f"the verdict is {facts.verdict.grade}: nothing is learnt from it")
    run = f"run-{facts.repo[:12]}-{facts.run}"
    journal.write_once(run, lambda: _changes(journal, facts))
    (kept,) = journal.events(run=run, kind="run")
    return _write_back(kept.data)


def _write_back(data: Mapping[str, Any]) -> WriteBack:
    return WriteBack(
        episode_id=data["episode_id"],
        skill_id=data["skill_id"],
        skill_name=data["skill_name"],
        promoted=tuple(data["promoted"]),
        credited=tuple(data["credited"]),
    )


def require_verdict(facts: RunFacts) -> None:
    """Refuse what cannot be traced to a verifier's event.

    Raises:
        NoVerdictError: no event is named, or the log holds another one at its number.
    """
    remedy = "only a run that went through the verifier is written back"
    if facts.verdict_event is None or facts.verdict_event < 0:
        raise NoVerdictError("there is no verifier event for this run", remedy)
    if facts.log is None:
        return
    event = next((e for e in read_events(facts.log) if e.seq == facts.verdict_event), None)
    if event is None or event.kind != "verdict":
        found = f"a {event.kind} event" if event else "nothing"
        raise NoVerdictError(
            f"event {facts.verdict_event} of run {facts.run} is no verdict but {found}", remedy
        )
    if _grade(event.data) not in ("", facts.verdict.grade):
        raise NoVerdictError(
            f"the log says {_grade(event.data)}, not {facts.verdict.grade}", remedy
        )


def _grade(data: Mapping[str, Any]) -> str:
    inner = data.get("verdict")
    holder = inner if isinstance(inner, Mapping) else data
    return str(holder.get("grade", ""))


def _changes(journal: Journal, facts: RunFacts) -> list[Change]:
    """Everything that a run means, decided while no other process can write."""
    episode = run_episode(facts)
    changes = [added(episode)]
    skill = _new_skill(journal, facts, episode)
    if skill is not None:
        changes.append(added(skill))
    credited = list(_credits(journal, facts))
    promoted = list(_promotions(journal, facts, [stored for stored, _ in credited]))
    changes += [credit for _, credit in credited]
    changes += [step for _, steps in promoted for step in steps]
    body = skill.body if skill is not None else None
    kept = {
        "episode_id": episode.id,
        "skill_id": skill.id if skill is not None else "",
        "skill_name": body.name if isinstance(body, Skill) else "",
        "promoted": [name for name, _ in promoted],
        "credited": [stored.record.id for stored, _ in credited],
    }
    return [*changes, Change("run", episode.id, kept)]


def _new_skill(journal: Journal, facts: RunFacts, episode: Record) -> Record | None:
    if not facts.verdict.holds or facts.candidate is None or not facts.candidate.patch.strip():
        return None
    name = skill_name(facts.task, facts.repo, episode.body)  # type: ignore[arg-type]
    earlier = journal.skills_named(name, facts.repo)
    return fix_skill(facts, episode, parent=earlier[0].record.id if earlier else "")


def _credits(journal: Journal, facts: RunFacts) -> Iterator[tuple[Stored, Change]]:
    """A win or a loss for each record that the solver cited, and for no other."""
    cited = facts.candidate.cited if facts.candidate is not None else ()
    seen: set[str] = set()
    for record_id in cited:
        stored = journal.get(record_id)
        if stored is None or stored.record.id in seen or _same_task(stored, facts):
            continue
        seen.add(stored.record.id)
        data = {"win": facts.verdict.holds, "grade": facts.verdict.grade, "run": facts.run}
        yield stored, Change("credit", stored.record.id, data)


def _promotions(
    journal: Journal, facts: RunFacts, cited: list[Stored]
) -> Iterator[tuple[str, list[Change]]]:
    """Skills that were cited, or came from a cited episode, and now helped on a different bug.

    Only `proved` counts: a test that the solver wrote itself promotes nothing.
    """
    if facts.verdict.grade is not Grade.PROVED:
        return
    skills: dict[str, Stored] = {}
    for stored in cited:
        candidates = [stored, *journal.made_from(stored.record.id)]
        skills |= {s.record.id: s for s in candidates if s.record.kind is Kind.SKILL}
    why = f"helped to prove a fix of a different task, {facts.task.id}"
    for skill in skills.values():
        body = skill.record.body
        if isinstance(body, Skill) and not _same_task(skill, facts):
            steps = list(_steps_to_active(skill, facts.run, why))
            if steps:
                yield body.name, steps


def _steps_to_active(skill: Stored, run: str, why: str) -> Iterator[Change]:
    state = skill.state
    for to in (State.VALIDATED, State.ACTIVE):
        if to in NEXT[state] and state in (State.CANDIDATE, State.VALIDATED):
            now = Stored(skill.number, skill.record, state, skill.uses, skill.wins)
            yield transition(now, to, run, why)
            state = to


def _same_task(stored: Stored, facts: RunFacts) -> bool:
    return getattr(stored.record.body, "issue_id", "") == facts.task.id
