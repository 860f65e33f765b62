"""From a verdict to what memory keeps: an episode, a skill, lessons, credit, and what follows.

Every step is an event that names the run it came from. A run that no verifier judged leaves
nothing, and neither does one whose verdict says nothing about the patch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evo_agent.core.errors import EvoError
from evo_agent.core.events import read_events
from evo_agent.core.types import Grade
from evo_agent.memory.journal.bodies import Skill
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import Record, State
from evo_agent.memory.journal.rows import Change, Stored, added
from evo_agent.memory.journal.states import NEXT, steps, transition
from evo_agent.memory.lifecycle.credit import Credit, trials, utility
from evo_agent.memory.lifecycle.distil import fix_skill, run_episode, skill_name
from evo_agent.memory.lifecycle.facts import RunFacts
from evo_agent.memory.lifecycle.lessons import lessons
from evo_agent.memory.lifecycle.quarantine import reason
from evo_agent.memory.lifecycle.reflect import reflect
from evo_agent.memory.lifecycle.rewards import credits_of, promotions, trial_of

__all__ = ["NEXT", "SILENT", "NoVerdictError", "WriteBack", "transition", "utility", "write_back"]

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
        insights: ids of the lessons, rules and playbook that it taught.
        quarantined: ids of the records that its verdict turned out.
    """

    episode_id: str = ""
    skill_id: str = ""
    skill_name: str = ""
    promoted: tuple[str, ...] = ()
    credited: tuple[str, ...] = ()
    silent: str = ""
    insights: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()


def write_back(
    journal: Journal, facts: RunFacts, rules: Sequence[str] = ("measured",)
) -> WriteBack:
    """Store a judged run, then what follows from it; a second time for a run changes nothing.

    Args:
        journal: written in two transactions: the run's own records, and what they mean for others.
        facts: of the run.
        rules: of quarantine, by name (memory.quarantine).

    Raises:
        NoVerdictError: there is no verifier event behind it.
        UsageError: there is no such rule.
        StoreError: the journal cannot be written; then nothing of the run is.
    """
    require_verdict(facts)
    reason(Credit(), rules)  # an unknown rule is said before anything is written
    if facts.verdict.grade in SILENT:
        return WriteBack(silent=f"the verdict is {facts.verdict.grade}: nothing is learnt from it")
    run = f"run-{facts.repo[:12]}-{facts.run}"
    journal.write_once(run, lambda: _changes(journal, facts))
    kept = journal.events(run=run, kind="run")
    if not kept:
        return WriteBack(silent="this run was purged from memory, and does not come back")
    after = f"{run}-after"
    journal.write_once(after, lambda: _consequences(journal, facts, kept[0].data, rules))
    meant = journal.events(run=after, kind="consequences")  # several where journals were merged
    return _write_back(kept[0].data, meant[0].data)


def _write_back(kept: Mapping[str, Any], meant: Mapping[str, Any]) -> WriteBack:
    return WriteBack(
        episode_id=kept["episode_id"],
        skill_id=kept["skill_id"],
        skill_name=kept["skill_name"],
        promoted=tuple(kept["promoted"]),
        credited=tuple(kept["credited"]),
        insights=(*kept.get("insights", ()), *meant["learnt"]),
        quarantined=tuple(meant["quarantined"]),
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
    """Everything that a run leaves, decided while no other process can write."""
    episode = run_episode(facts)
    skill = _new_skill(journal, facts, episode)
    learnt = lessons(facts, episode, _rivals(journal, facts))
    credited = list(credits_of(journal, facts))
    promoted = list(promotions(journal, facts, [stored for stored, _ in credited]))
    body = skill.body if skill is not None else None
    kept = {
        "episode_id": episode.id,
        "skill_id": skill.id if skill is not None else "",
        "skill_name": body.name if isinstance(body, Skill) else "",
        "promoted": [name for name, _ in promoted],
        "credited": [stored.record.id for stored, _ in credited],
        "insights": [insight.id for insight in learnt],
    }
    return [
        added(episode),
        *([added(skill)] if skill is not None else []),
        *(change for insight in learnt for change in _validated(journal, insight, facts)),
        *(credit for _, credit in credited),
        *(step for _, steps_ in promoted for step in steps_),
        trial_of(facts, episode.id, [stored for stored, _ in credited]),
        Change("run", episode.id, kept),
    ]


def _validated(journal: Journal, insight: Record, facts: RunFacts) -> Iterator[Change]:
    """A new insight is validated at once: its evidence is the verdict of this very run.

    One that is known gets the run as further evidence.
    """
    if journal.get(insight.id) is not None:
        yield Change("evidence", insight.id, {"ids": list(facts.evidence), "run": facts.run})
        return
    yield added(insight)
    why = f"its evidence exists: {', '.join(insight.evidence_ids)}"
    yield from steps(insight.id, insight.state, (State.VALIDATED,), facts.run, why)


def _rivals(journal: Journal, facts: RunFacts) -> list[Stored]:
    """Episodes of other runs of the same task, newest first."""
    same = (t for t in reversed(trials(journal, facts.repo)) if t.issue == facts.task.id)
    found = (journal.get(trial.episode) for trial in same if trial.run != facts.run)
    return [stored for stored in found if stored is not None]


def _consequences(
    journal: Journal, facts: RunFacts, kept: Mapping[str, Any], rules: Sequence[str]
) -> list[Change]:
    found = reflect(journal, facts.repo, facts.run, rules)
    data = {"quarantined": found.quarantined, "learnt": found.learnt, "observed": found.observed}
    return [*found.changes, Change("consequences", kept["episode_id"], data)]


def _new_skill(journal: Journal, facts: RunFacts, episode: Record) -> Record | None:
    if not facts.verdict.holds or facts.candidate is None or not facts.candidate.patch.strip():
        return None
    name = skill_name(facts.task, facts.repo, episode.body)  # type: ignore[arg-type]
    earlier = journal.skills_named(name, facts.repo)
    return fix_skill(facts, episode, parent=earlier[0].record.id if earlier else "")
