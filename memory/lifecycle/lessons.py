"""Lessons of a judged run: insights from success, from failure, and from the contrast of both.

Only what the verifier saw and what the log holds goes into them, no model is asked, and every
one cites its evidence (ReMe distils the same three ways; MEL finds the step at which a failed
and a successful run part). The same facts give the same lessons, and so the same ids.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evo_agent.core.types import DiagnosisKind
from evo_agent.memory.journal.bodies import Episode, Insight
from evo_agent.memory.journal.records import AsOf, Record, Scope, Trust, bounded, make
from evo_agent.memory.journal.rows import Stored
from evo_agent.memory.lifecycle.facts import RunFacts
from evo_agent.memory.lifecycle.trace import action, first_divergence

MOST = 3  # of each source: success, failure, contrast
GUIDING, CAUTIONARY = "guiding", "cautionary"  # EvolveR's two kinds of principle
_REPEATED = 3  # times the same command failed before it is a lesson
_SHOWN = 400  # characters of somebody else's text in a lesson
_NOISE = re.compile(r"0x[0-9a-f]+|\d{5,}")  # addresses and long numbers differ from run to run


def lessons(facts: RunFacts, episode: Record, rivals: Sequence[Stored]) -> list[Record]:
    """What one run teaches.

    Args:
        facts: of the run.
        episode: its record.
        rivals: episodes of other runs of the same task.

    Returns:
        At most MOST of each source; each names the verdict's event.
    """
    body = episode.body
    assert isinstance(body, Episode)
    told = list(_of_success(facts, body) if facts.verdict.holds else _of_failure(facts, body))
    found = [_record(facts, episode, one) for one in told[:MOST]]
    return found + _contrasts(facts, episode, rivals)[:MOST]


@dataclass(frozen=True, slots=True)
class Told:
    """An insight before its envelope.

    Attributes:
        when: its when_to_use.
        principle: guiding | cautionary.
        rival: the other run's episode, of a contrast.
    """

    insight: Insight
    when: str
    principle: str = GUIDING
    scope: Scope = Scope.REPO
    rival: Record | None = None


def _of_success(facts: RunFacts, episode: Episode) -> Iterator[Told]:
    symptom = _symptom(episode)
    if episode.root_cause:
        how = f" by {_listed(episode.facts.get('operators'))}" if _operators(episode) else ""
        text = f"A failure like “{symptom}” was {episode.grade} fixed{how}: {episode.root_cause}"
        yield Told(_insight("strategy", text, facts), symptom, scope=Scope.LANGUAGE)
    places = _places(episode)
    if places and episode.tests:
        text = f"When {_code(episode.tests[0])} fails, look at {places}: its fix was there."
        yield Told(_insight("strategy", text, facts), symptom)
    command = facts.verdict.after.command if facts.verdict.after is not None else ""
    if command:
        text = f"A fix in {places or 'this repository'} is checked with {_code(command)}."
        yield Told(_insight("tool", text, facts), f"check a fix in {places}")


def _of_failure(facts: RunFacts, episode: Episode) -> Iterator[Told]:
    symptom, places = _symptom(episode), _places(episode)
    found = facts.verdict.diagnosis
    broken = facts.verdict.broken or (
        found.tests if found is not None and found.kind is DiagnosisKind.REGRESSION else ()
    )
    if broken and places:
        tests = _listed(broken[:3])
        text = f"A change in {places} for “{symptom}” broke {tests}: run them with it."
        yield Told(_insight("strategy", text, facts), symptom, CAUTIONARY)
    elif found is not None and places:
        text = f"For “{symptom}” a change in {places} did not do: {_plain(found.detail)}."
        if episode.root_cause:
            text += f" It went by: {episode.root_cause}"
        yield Told(_insight("strategy", text, facts), symptom, CAUTIONARY)
    for command, times in _repeated(episode.steps):
        text = f"{_code(command)} failed {times} times in one run: read why before repeating it."
        yield Told(_insight("tool", text, facts), command, CAUTIONARY)


def _contrasts(facts: RunFacts, episode: Record, rivals: Sequence[Stored]) -> list[Record]:
    body = episode.body
    assert isinstance(body, Episode)
    found: list[Record] = []
    for stored in rivals:
        rival = stored.record.body
        if isinstance(rival, Episode) and _held(rival) != facts.verdict.holds:
            won, lost = (body, rival) if facts.verdict.holds else (rival, body)
            text = contrast(won, lost)
            if text:
                insight = _insight("contrast", text, facts)
                told = Told(insight, _symptom(won), rival=stored.record)
                found.append(_record(facts, episode, told))
    return found


def contrast(won: Episode, lost: Episode) -> str:
    """What told a run that held from one of the same task that did not; empty when nothing did."""
    step = first_divergence(won.steps, lost.steps)
    parts = []
    if step and (won.steps or lost.steps):
        ways = [_did(run.steps, step) for run in (won, lost)]
        parts.append(
            f"Two runs went the same way for {step - 1} steps. At step {step} the one that held "
            f"{ways[0]}, the one that did not {ways[1]}."
        )
    if _places(won) and _places(won) != _places(lost):
        parts.append(f"The fix was in {_places(won)}, not in {_places(lost) or 'any file'}.")
    elif won.diff != lost.diff and won.root_cause and won.root_cause != lost.root_cause:
        parts.append(f"In the same place, this held: {won.root_cause}")
    return " ".join(parts) and f"For “{_symptom(won)}”: {' '.join(parts)}"


def _did(steps: Sequence[Mapping[str, Any]], number: int) -> str:
    told = action(steps, number - 1)
    return f"did {_code(told)}" if told else "was done"


def _record(facts: RunFacts, episode: Record, told: Told) -> Record:
    rivals = (told.rival,) if told.rival is not None else ()
    return make(
        told.insight,
        repo=facts.repo,
        scope=told.scope,
        as_of=AsOf(facts.task.base, facts.moment),
        created=facts.moment,
        source_ids=(episode.id, *(r.id for r in rivals)),
        evidence_ids=(*facts.evidence, *(e for r in rivals for e in r.evidence_ids)),
        trust=Trust.VERIFIED,
        when_to_use=bounded(told.when, 200),
        tags=(told.principle, *episode.tags[1:]),
    )


def _insight(kind: str, text: str, facts: RunFacts) -> Insight:
    return Insight(kind, bounded(" ".join(text.split()), 1_500), issue_id=facts.task.id)


def _symptom(episode: Episode) -> str:
    first = episode.signature.partition("\n")[0] or episode.title
    return bounded(_NOISE.sub("…", " ".join(first.split())), _SHOWN)


def _places(episode: Episode) -> str:
    """Files and functions of the change, as a reader would name them."""
    sections = {hunk.path: hunk.section for hunk in reversed(episode.hunks) if hunk.section}
    named = [
        f"{_code(file.path)}"
        + (f" ({_code(sections[file.path])})" if file.path in sections else "")
        for file in episode.files[:3]
    ]
    return ", ".join(named)


def _repeated(steps: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    failed = (action(steps, n) for n, step in enumerate(steps) if step.get("exit"))
    counts = Counter(one for one in failed if one.startswith("$ "))
    often = [(one.removeprefix("$ "), n) for one, n in counts.items() if n >= _REPEATED]
    return sorted(often, key=lambda pair: (-pair[1], pair[0]))


def _held(episode: Episode) -> bool:
    return episode.grade in ("proved", "reproduced")


def _operators(episode: Episode) -> bool:
    return bool(episode.facts.get("operators"))


def _listed(names: Any) -> str:
    return ", ".join(_code(name) for name in names)


def _plain(text: str) -> str:
    return bounded(" ".join(text.split()), _SHOWN).rstrip(".")


def _code(text: object) -> str:
    return f"`{bounded(' '.join(str(text).split()), _SHOWN).replace('`', chr(39))}`"
