"""The playbook: how work in a repository is done by the runs that held, in their order.

Kept apart from the rules (Cogito, Ergo Ludo): rules say what is so, the playbook what to do. It
is one insight per repository; when the runs say otherwise it gets a new version, which names the
old one as its parent.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from evo_agent.memory.journal.bodies import Episode, Insight
from evo_agent.memory.journal.records import Record, Scope, Trust, make
from evo_agent.memory.journal.rows import Stored
from evo_agent.memory.lifecycle.induction import Case
from evo_agent.memory.lifecycle.trace import action

LEAST_WINS = 2  # runs that held, of different tasks, before there is a playbook
MOST_MOVES = 8
_SHARE = 0.5  # of the runs that held do it
_HEAD = 3  # words of a command that make it the same command


@dataclass(frozen=True, slots=True)
class Move:
    """What runs that held did: in which share of them, and how far into the run (0 to 1)."""

    text: str
    share: float
    when: float


def moves(won: Sequence[Episode]) -> list[Move]:
    """What at least half of the runs that held did, in the order in which they did it."""
    places: dict[str, list[float]] = {}
    for episode in won:
        first: dict[str, float] = {}
        for number in range(len(episode.steps)):
            head = _head(action(episode.steps, number))
            if head:
                first.setdefault(head, number / len(episode.steps))
        for head, at in first.items():
            places.setdefault(head, []).append(at)
    found = [Move(head, len(at) / len(won), median(at)) for head, at in places.items()]
    common = [move for move in found if move.share >= _SHARE]
    return sorted(common, key=lambda move: (move.when, move.text))[:MOST_MOVES]


def playbook(cases: Sequence[Case], present: Stored | None) -> Record | None:
    """The playbook's next version; None when it would say nothing, or what it says already.

    Args:
        cases: of one repository, oldest first.
        present: its playbook.
    """
    won = [case for case in cases if case.facts.get("win") is True]
    if len({case.issue for case in won}) < LEAST_WINS:
        return None
    common = moves([case.episode.body for case in won if isinstance(case.episode.body, Episode)])
    if not common:
        return None
    lines = [f"{number}. {move.text}" for number, move in enumerate(common, 1)]
    text = "\n".join(("What runs that held did here, in order:", *lines))
    if present is not None and getattr(present.record.body, "text", "") == text:
        return None
    return _record(text, won, present)


def _record(text: str, won: Sequence[Case], present: Stored | None) -> Record:
    last = won[-1].episode
    return make(
        Insight("playbook", text),  # habits of several runs, no task's answer: it may answer all
        repo=last.repo,
        scope=Scope.REPO,
        as_of=last.as_of,
        created=last.created,
        source_ids=tuple(case.episode.id for case in won),
        evidence_ids=tuple(e for case in won for e in case.episode.evidence_ids),
        parent_id=present.record.id if present is not None else "",
        trust=Trust.VERIFIED,
        when_to_use="how work in this repository is done and checked",
        tags=("playbook", *last.tags[1:]),
    )


def _head(told: str) -> str:
    """A step without what differs from task to task: a command's first words, or the kind."""
    if not told.startswith("$ "):
        return told.partition(" ")[0] if told.startswith("write") else _tests(told)
    try:
        words = shlex.split(told[2:])
    except ValueError:
        words = told[2:].split()
    plain = [word for word in words[:_HEAD] if not any(c in word for c in "/.:=\n")]
    return f"`{' '.join(plain)}`" if plain else ""


def _tests(told: str) -> str:
    return "run the tests" if told.startswith("run tests") else ""
