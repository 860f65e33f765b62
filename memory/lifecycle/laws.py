"""Laws: what holds when, held against every judged run.

After OneLife (One Life to Learn, 2025): a law is a precondition and an effect, it is evaluated
only where its precondition is active, and its weight follows what was observed. Here the weight
is Laplace's estimate (held + 1) / (active + 2), so every refutation lowers it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from evo_agent.core.errors import UsageError
from evo_agent.memory.journal.bodies import Episode, Insight
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import Scope, State
from evo_agent.memory.journal.rows import Change, Stored
from evo_agent.memory.lifecycle.credit import LEAST, upper_bound, utility
from evo_agent.memory.lifecycle.predicates import Facts, Predicate, holds, parse

TYPES = ("law", "rule")  # insights that may have a precondition and an effect
OBSERVED = "observed"  # the kind of event
_EVEN = 0.5  # a law that surely holds less often than not says nothing
_ASLEEP = (State.QUARANTINED, State.ARCHIVED)


@dataclass(frozen=True, slots=True)
class Observation:
    """A law that was active in a run, and whether its effect was there."""

    law: Stored
    held: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How a law fared: runs in which it was active, and in which it held."""

    active: int = 0
    held: int = 0

    @property
    def weight(self) -> float:
        """(held + 1) / (active + 2)."""
        return utility(self.active, self.held)

    @property
    def refuted(self) -> bool:
        """Whether it surely holds less often than not, after LEAST runs."""
        return self.active >= LEAST and upper_bound(self.active, self.held) < _EVEN


def situation(episode: Episode) -> Facts:
    """What predicates may ask of a run. What is not known is not there.

    Names: error, signature, grade, win, diagnosis, stopped, solver, steps; and of several words:
    paths, functions, tests, operators, broken.
    """
    own = episode.facts
    facts: dict[str, str | float | bool | tuple[str, ...]] = {
        "error": episode.signature.partition(":")[0].strip(),
        "signature": episode.signature,
        "grade": episode.grade,
        "diagnosis": str(own.get("diagnosis", "")),
        "stopped": str(own.get("stopped", "")),
        "solver": str(own.get("solver", "")),
        "paths": tuple(file.path for file in episode.files),
        "functions": tuple(hunk.section for hunk in episode.hunks if hunk.section),
        "tests": episode.tests,
        "operators": _words(own.get("operators")),
        "broken": _words(own.get("broken")),
    }
    known = {name: fact for name, fact in facts.items() if fact or name in ("broken", "operators")}
    known["win"] = episode.grade in ("proved", "reproduced")
    known["steps"] = float(len(episode.steps))
    return known


def active(laws: Iterable[Stored], facts: Facts, repo: str) -> list[tuple[Stored, Predicate]]:
    """The laws whose precondition holds, each with its effect; no other is evaluated."""
    found = []
    for law in laws:
        parts = _parts(law)
        if parts is not None and _about(law, repo) and holds(parts[0], facts):
            found.append((law, parts[1]))
    return found


def observe(laws: Iterable[Stored], facts: Facts, repo: str) -> Iterator[Observation]:
    """Hold the active laws against a run; an effect that nobody can tell is no observation."""
    for law, effect in active(laws, facts, repo):
        held = holds(effect, facts)
        if held is not None:
            yield Observation(law, held)


def observed(law_id: str, run: str, *, held: bool) -> Change:
    """The event that keeps an observation."""
    return Change(OBSERVED, law_id, {"held": held, "run": run})


def standing(journal: Journal, law_id: str) -> Standing:
    """How a law fared so far, each run once."""
    runs = {
        str(event.data["run"]): bool(event.data["held"])
        for event in journal.events(record=law_id, kind=OBSERVED)
    }
    return Standing(len(runs), sum(runs.values()))


def _parts(law: Stored) -> tuple[Predicate, Predicate] | None:
    body = law.record.body
    if not isinstance(body, Insight) or body.type not in TYPES or law.state in _ASLEEP:
        return None
    if not (body.precondition and body.effect):
        return None
    try:
        return parse(body.precondition), parse(body.effect)
    except UsageError:  # prose, or somebody's attempt: never evaluated
        return None


def _about(law: Stored, repo: str) -> bool:
    return law.record.scope is not Scope.REPO or law.record.repo == repo


def _words(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list | tuple) else ()
