"""What a record is worth: counts of the verifier's verdicts, with it and without.

Every judged run is a trial, in one of two arms: with memory, or control, where memory was off.
A record's win rate is held against the control arm's: as a rate over the same repositories, and
pair by pair over the same tasks (Complementary RL rewards an extractor by what the actor gains).
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.rows import Change, JournalEvent

MEMORY, CONTROL = "memory", "control"  # the arms
LEAST = 5  # uses, pairs, or control runs below which nothing is concluded: ReMe's count
LEVEL = 0.95  # two-sided, of the interval whose upper bound counts
_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


@dataclass(frozen=True, slots=True)
class Trial:
    """One judged run.

    Attributes:
        run: its id.
        repo, task: which repository, and which task or family of tasks: pairs share both.
        win: whether the verdict holds.
        arm: memory | control.
        credited: ids of the records that it moved.
        episode: id of its episode.
        issue: the task's own id, where `task` is a family.
        time: when it was judged, seconds since 1970.
    """

    run: str
    repo: str
    task: str
    win: bool
    arm: str = MEMORY
    credited: tuple[str, ...] = ()
    episode: str = ""
    issue: str = ""
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class Credit:
    """A record's account since it last became a candidate.

    Attributes:
        uses, wins: judged runs that cited or triggered it, and how many of them held.
        pairs: runs with it that have a control run of the same task beside them.
        lift: mean of win with - win without over the pairs; None without pairs.
        controls: control runs in the repositories where it was used.
        base: their win rate; None below LEAST of them.
    """

    uses: int = 0
    wins: int = 0
    pairs: int = 0
    lift: float | None = None
    controls: int = 0
    base: float | None = None

    @property
    def losses(self) -> int:
        """Uses that did not hold."""
        return self.uses - self.wins

    @property
    def utility(self) -> float:
        """See `utility`."""
        return utility(self.uses, self.wins)

    @property
    def bound(self) -> float:
        """The most that its win rate may be, at LEVEL."""
        return upper_bound(self.uses, self.wins)


def utility(uses: int, wins: int) -> float:
    """Laplace's estimate of the chance to help: (wins + 1) / (uses + 2), as EvolveR scores."""
    return (wins + 1) / (uses + 2)


def upper_bound(uses: int, wins: int) -> float:
    """Upper end of Wilson's score interval at LEVEL; 1 without uses.

    Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927.
    """
    if not uses:
        return 1.0
    rate, square = wins / uses, _Z * _Z
    spread = _Z * math.sqrt(rate * (1 - rate) / uses + square / (4 * uses * uses))
    return (rate + square / (2 * uses) + spread) / (1 + square / uses)


def place_of_trials(repo: str) -> str:
    """What trial events of a repository are about: no record's id, but found as fast as one."""
    return f"trials:{repo}"


def trial_event(trial: Trial) -> Change:
    """The event that counts a judged run."""
    data: dict[str, Any] = {
        "arm": trial.arm,
        "task": trial.task,
        "win": trial.win,
        "run": trial.run,
        "credited": list(trial.credited),
        "episode": trial.episode,
        "issue": trial.issue,
    }
    return Change("trial", place_of_trials(trial.repo), data)


def trials(journal: Journal, repo: str) -> list[Trial]:
    """The judged runs of a repository, oldest first, each once."""
    found: dict[str, Trial] = {}
    for event in journal.events(record=place_of_trials(repo), kind="trial"):
        found.setdefault(str(event.data["run"]), _trial(repo, event))
    return list(found.values())


def account(
    journal: Journal, record_id: str, known: dict[str, list[Trial]] | None = None
) -> Credit:
    """A record's credit, from the journal.

    Args:
        journal: open.
        record_id: whole.
        known: control runs by repository, filled as they are read: for many records in a row.
    """
    uses = _uses(journal.events(record=record_id))
    controls = known if known is not None else {}
    repos = sorted({use.repo for use in uses if use.repo})
    for repo in repos:
        if repo not in controls:
            controls[repo] = [t for t in trials(journal, repo) if t.arm == CONTROL]
    return credit(uses, [trial for repo in repos for trial in controls[repo]])


def credit(uses: Sequence[Trial], controls: Sequence[Trial]) -> Credit:
    """Count; the n-th use on a task is paired with the n-th control run of it."""
    without: Mapping[tuple[str, str], list[Trial]] = _by_task(controls)
    gains = [
        int(use.win) - int(control.win)
        for key, used in _by_task(uses).items()
        for use, control in zip(used, without.get(key, ()), strict=False)
    ]
    return Credit(
        uses=len(uses),
        wins=sum(use.win for use in uses),
        pairs=len(gains),
        lift=sum(gains) / len(gains) if gains else None,
        controls=len(controls),
        base=sum(c.win for c in controls) / len(controls) if len(controls) >= LEAST else None,
    )


def _uses(events: Iterable[JournalEvent]) -> list[Trial]:
    """A record's uses, each run once; what was before its readmission is settled."""
    found: dict[str, Trial] = {}
    for event in events:
        if event.kind == "state" and event.data["to"] == "candidate":
            found.clear()
        elif event.kind == "credit":
            run = str(event.data.get("of", event.run))
            use = _trial(str(event.data.get("repo", "")), event)
            if run not in found or not use.win:  # of two that differ, the loss counts (views)
                found[run] = use
    return list(found.values())


def _trial(repo: str, event: JournalEvent) -> Trial:
    data = event.data
    return Trial(
        run=str(data.get("run", event.run)),
        repo=repo,
        task=str(data.get("task", "")),
        win=bool(data["win"]),
        arm=str(data.get("arm", MEMORY)),
        credited=tuple(data.get("credited", ())),
        episode=str(data.get("episode", "")),
        issue=str(data.get("issue", "")),
        time=event.time,
    )


def _by_task(found: Iterable[Trial]) -> dict[tuple[str, str], list[Trial]]:
    grouped: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    for trial in found:
        if trial.task:
            grouped[(trial.repo, trial.task)].append(trial)
    return grouped
