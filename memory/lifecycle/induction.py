"""Rules of a repository, induced from its runs and revised by the runs that contradict them.

After Cogito, Ergo Ludo (2025), where an agent keeps induced rules apart from its playbook (see
memory.lifecycle.playbook). A rule needs support by LEAST_SUPPORT runs of different tasks and no run against
it. A contradiction makes a new version, narrower if a fact tells the contradicting run from
those that support it; the old one is archived, and named as its parent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from evo_agent.memory.journal.bodies import Episode, Insight
from evo_agent.memory.journal.records import Record, Scope, Trust, make
from evo_agent.memory.journal.rows import Stored
from evo_agent.memory.lifecycle.laws import situation
from evo_agent.memory.lifecycle.predicates import Facts, holds, includes, parse, same

LEAST_SUPPORT = 2
MOST_NEW = 3  # rules a run may add
USUALLY = "Usually, not always: "
_TELLING = ("paths", "functions", "operators", "tests")  # facts of several words
_TELLING_WORDS = ("error", "diagnosis", "solver")


@dataclass(frozen=True, slots=True)
class Case:
    """One run as induction sees it."""

    run: str
    episode: Record
    facts: Facts

    @property
    def issue(self) -> str:
        """Its task."""
        return self.episode.body.issue_id


def case(run: str, episode: Record) -> Case:
    """A run's case."""
    assert isinstance(episode.body, Episode)
    return Case(run, episode, situation(episode.body))


def induce(cases: Sequence[Case], known: Sequence[Stored]) -> list[tuple[Record, list[Case]]]:
    """Rules that the last case supports and that are not known, each with its support.

    Args:
        cases: of one repository, oldest first.
        known: its rules, of whatever state: one that was revised does not come back.
    """
    there = {(b.precondition, b.effect) for b in map(_body, known)}
    found = []
    for rule in _proposals(cases[-1].facts) if cases else ():
        if (rule.precondition, rule.effect) in there:
            continue
        support = _support(rule, cases)
        if len({c.issue for c in support}) >= LEAST_SUPPORT:
            found.append((_record(rule, support, cases[-1]), support))
    return found[:MOST_NEW]


def revise(rule: Stored, support: Sequence[Case], against: Case) -> Record | None:
    """The next version of a rule that a run contradicts; None when there is nothing to keep.

    Args:
        rule: active in the run, its effect not there.
        support: the runs in which it held.
        against: the run that contradicts it.
    """
    old = _body(rule)
    narrower = next(_distinctions(support, against), "")
    if narrower:
        text = f"{old.text.removeprefix(USUALLY)} This holds where {narrower}."
        new = replace(old, text=text, precondition=f"({old.precondition}) and {narrower}")
    elif old.text.startswith(USUALLY) or not support:
        return None
    else:
        new = replace(old, text=f"{USUALLY}{old.text}")
    issues = {*filter(None, old.issue_id.split("\n")), against.issue}
    record = rule.record
    return make(
        replace(new, issue_id="\n".join(sorted(issues)), merged=()),
        repo=record.repo,
        scope=record.scope,
        as_of=against.episode.as_of,
        created=against.episode.created,
        source_ids=(record.id, against.episode.id),
        evidence_ids=(*record.evidence_ids, *against.episode.evidence_ids),
        parent_id=record.id,
        trust=record.trust,
        when_to_use=record.when_to_use,
        tags=record.tags,
    )


def _proposals(facts: Facts) -> Iterator[Insight]:
    """What one run suggests: what its change broke, or which edit mends its kind of error."""
    for path in _words(facts, "paths"):
        for test in _words(facts, "broken")[:MOST_NEW]:
            text = f"In this repository a change in `{path}` breaks `{test}`: run it."
            yield Insight("rule", text, includes("paths", path), includes("broken", test))
    error = facts.get("error")
    if facts.get("win") is True and isinstance(error, str) and error.isidentifier():
        for operator in _words(facts, "operators"):
            text = f"In this repository a failure of kind `{error}` is mended by `{operator}`."
            when = f"{same('error', error)} and win == true"
            yield Insight("rule", text, when, includes("operators", operator))


def _support(rule: Insight, cases: Sequence[Case]) -> list[Case]:
    """Cases in which it was active, if its effect was there in all of them."""
    when, then = parse(rule.precondition), parse(rule.effect)
    active = [c for c in cases if holds(when, c.facts)]
    return active if all(holds(then, c.facts) for c in active) else []


def _distinctions(support: Sequence[Case], against: Case) -> Iterator[str]:
    """Predicates that every supporting run meets and the contradicting one does not."""
    if not support:
        return
    for name in _TELLING:
        shared = set.intersection(*(set(_words(c.facts, name)) for c in support))
        for word in sorted(shared - set(_words(against.facts, name))):
            yield includes(name, word)
    for name in _TELLING_WORDS:
        values = {c.facts.get(name) for c in support}
        if len(values) == 1 and (value := values.pop()) != against.facts.get(name):
            yield same(name, str(value))


def _record(rule: Insight, support: Sequence[Case], last: Case) -> Record:
    issues = sorted({c.issue for c in support if c.issue})
    episode = last.episode
    return make(
        replace(rule, issue_id="\n".join(issues)),
        repo=episode.repo,
        scope=Scope.REPO,
        as_of=episode.as_of,
        created=episode.created,
        source_ids=tuple(c.episode.id for c in support),
        evidence_ids=tuple(e for c in support for e in c.episode.evidence_ids),
        trust=Trust.VERIFIED,
        when_to_use=rule.text.partition(":")[0],
        tags=("rule", *episode.tags[1:]),
    )


def _body(stored: Stored) -> Insight:
    assert isinstance(stored.record.body, Insight)
    return stored.record.body


def _words(facts: Facts, name: str) -> tuple[str, ...]:
    found = facts.get(name, ())
    return found if isinstance(found, tuple) else ()
