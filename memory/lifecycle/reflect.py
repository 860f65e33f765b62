"""After a judged run: which laws it confirms or refutes, which rules it revises, who must go.

Decided in a transaction of its own, after the run's own records, so that it sees them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from evo_agent.memory.journal.bodies import Insight, Kind
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import Record, State
from evo_agent.memory.journal.rows import Change, Stored, added
from evo_agent.memory.journal.states import ASLEEP, steps, transition
from evo_agent.memory.lifecycle import induction, laws
from evo_agent.memory.lifecycle.credit import CONTROL, Trial, account, trials
from evo_agent.memory.lifecycle.induction import Case
from evo_agent.memory.lifecycle.playbook import playbook
from evo_agent.memory.lifecycle.quarantine import reason

WINDOW = 200  # latest runs of a repository that rules and playbook are made of


@dataclass
class Reflection:
    """What a run changed beside its own records, and the events for it."""

    changes: list[Change] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    observed: list[str] = field(default_factory=list)
    learnt: list[str] = field(default_factory=list)


def reflect(journal: Journal, repo: str, run: str, rules: Sequence[str]) -> Reflection:
    """Decide; nothing is written here.

    Args:
        journal: holds the run already.
        repo: the run's.
        run: its id.
        rules: of quarantine, by name.
    """
    found = Reflection()
    every = trials(journal, repo)
    number = next((n for n, t in enumerate(every) if t.run == run), None)
    if number is None:
        return found
    trial, past = every[number], every[: number + 1]  # another process may have gone on
    _quarantine(journal, affected(trial, every), run, rules, found)
    insights = [
        s for s in journal.listed(kind=Kind.INSIGHT) if s.record.id not in found.quarantined
    ]
    cases = _cases(journal, past)
    if cases and cases[-1].run == run:
        _observe(journal, insights, cases, found)
        _induce(journal, [s for s in insights if s.record.repo == repo], cases, found)
        _playbook(journal, insights, cases, found)
    return found


def affected(trial: Trial, past: Iterable[Trial]) -> list[str]:
    """Records whose account a run moves: what it used; a control run moves everybody's."""
    if trial.arm != CONTROL:
        return list(trial.credited)
    return list(dict.fromkeys(record for t in past for record in t.credited))


def quarantines(
    journal: Journal, ids: Iterable[str], run: str, rules: Sequence[str]
) -> Iterator[Change]:
    """Steps into quarantine for the records that a rule turns out."""
    controls: dict[str, list[Trial]] = {}
    for record_id in ids:
        stored = journal.get(record_id)
        if stored is None or stored.state in ASLEEP:
            continue
        why = reason(account(journal, record_id, controls), rules)
        if why:
            yield transition(stored, State.QUARANTINED, run, why)


def _quarantine(
    journal: Journal, ids: Iterable[str], run: str, rules: Sequence[str], found: Reflection
) -> None:
    for change in quarantines(journal, ids, run, rules):
        found.changes.append(change)
        found.quarantined.append(change.record)


def _cases(journal: Journal, past: Sequence[Trial]) -> list[Case]:
    stored = ((t.run, journal.get(t.episode)) for t in past[-WINDOW:] if t.episode)
    return [induction.case(run, s.record) for run, s in stored if s is not None]


def _observe(
    journal: Journal, insights: Sequence[Stored], cases: Sequence[Case], found: Reflection
) -> None:
    """Hold active laws against the run; a rule that it contradicts is revised."""
    last = cases[-1]
    for seen in laws.observe(insights, last.facts, last.episode.repo):
        law = seen.law
        if last.episode.id in law.record.source_ids:
            continue  # concluded from this very run
        found.changes.append(laws.observed(law.record.id, last.run, held=seen.held))
        found.observed.append(law.record.id)
        if not seen.held and _type(law) == "rule":
            _revise(journal, law, cases, found)
        elif not seen.held:
            _retire(journal, law, last.run, found)


def _revise(journal: Journal, rule: Stored, cases: Sequence[Case], found: Reflection) -> None:
    last = cases[-1]
    support = [c for c in cases[:-1] if _confirms(rule, c)]
    new = induction.revise(rule, support, last)
    if new is None:
        return
    found.changes += _brought(journal, new, last.run)
    found.changes += [laws.observed(new.id, c.run, held=True) for c in support]
    found.learnt.append(new.id)
    why = f"run {last.run} contradicts it; revised as {new.id[:12]}"
    found.changes.append(transition(rule, State.ARCHIVED, last.run, why))


def _retire(journal: Journal, law: Stored, run: str, found: Reflection) -> None:
    """A law that this refutation brings surely below even is quarantined."""
    before = laws.standing(journal, law.record.id)
    now = laws.Standing(before.active + 1, before.held)
    if now.refuted:
        why = f"refuted: held in {now.held} of {now.active} runs, weight {now.weight:.2f}"
        found.changes.append(transition(law, State.QUARANTINED, run, why))
        found.quarantined.append(law.record.id)


def _confirms(rule: Stored, one: Case) -> bool:
    seen = list(laws.observe([rule], one.facts, one.episode.repo))
    return bool(seen) and seen[0].held


def _induce(
    journal: Journal, insights: Sequence[Stored], cases: Sequence[Case], found: Reflection
) -> None:
    present = [stored for stored in insights if _type(stored) == "rule"]
    known = [version for rule in present for version in _versions(journal, rule)]
    for rule, support in induction.induce(cases, known):
        found.changes += _brought(journal, rule, cases[-1].run)
        found.changes += [laws.observed(rule.id, c.run, held=True) for c in support]
        found.learnt.append(rule.id)


def _versions(journal: Journal, rule: Stored) -> Iterator[Stored]:
    """A rule and those it was revised from: none of them is induced again."""
    version: Stored | None = rule
    while version is not None:
        yield version
        version = journal.get(version.record.parent_id) if version.record.parent_id else None


def _playbook(
    journal: Journal, insights: Sequence[Stored], cases: Sequence[Case], found: Reflection
) -> None:
    last = cases[-1]
    present = next((s for s in insights if _is_playbook(s, last.episode.repo)), None)
    new = playbook(cases, present)
    if new is None:
        return
    found.changes += _brought(journal, new, last.run)
    found.learnt.append(new.id)
    if present is not None:
        why = f"runs say otherwise by now; revised as {new.id[:12]}"
        found.changes.append(transition(present, State.ARCHIVED, last.run, why))


def _brought(journal: Journal, new: Record, run: str) -> list[Change]:
    """The events that bring a record in, or back if it was there once and left."""
    known = journal.get(new.id)
    if known is not None and known.state is State.QUARANTINED:
        return []  # it comes back only by a person's step
    path = (State.CANDIDATE, State.VALIDATED)
    state = known.state if known is not None else new.state
    why = f"supported by {len(new.evidence_ids)} verdicts"
    return [added(new), *steps(new.id, state, path, run, why)]


def _is_playbook(stored: Stored, repo: str) -> bool:
    mine = stored.record.repo == repo and stored.state not in ASLEEP
    return mine and _type(stored) == "playbook"


def _type(stored: Stored) -> str:
    body = stored.record.body
    return body.type if isinstance(body, Insight) else ""
