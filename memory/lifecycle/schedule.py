"""Explore first, reuse wins later; and old wins count for less as new runs win without them.

After SPEAR (Qin et al., Learn the ropes, then trust the wins, 2025), whose two cosines weigh a
bonus for exploring and the imitation of own wins, and which recalibrates the advantage of a
replayed win by the median of recent baselines. Steps are judged runs of a repository.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from evo_agent.memory.lifecycle.credit import Trial

STEPS = 200  # SPEAR: both schedules end here
FIRST_SHARE = 0.5  # of runs without memory at the start: equal arms tell most about a difference


def explore(step: int) -> float:
    """Weight of exploring: from 1 to 0 along half a cosine."""
    return (math.cos(math.pi * step / STEPS) + 1) / 2 if step <= STEPS else 0.0


def reuse(step: int) -> float:
    """Weight of own wins: from 0 to 1 along half a cosine."""
    return (1 - math.cos(math.pi * step / STEPS)) / 2 if step <= STEPS else 1.0


def control_share(step: int, least: float) -> float:
    """Share of runs that work without memory: FIRST_SHARE at first, `least` from STEPS on.

    Args:
        step: judged runs so far.
        least: memory.control; 0 switches the control arm off, 1 makes every run one.
    """
    if least <= 0:
        return 0.0
    return least + max(0.0, FIRST_SHARE - least) * explore(step)


def drawn(run: str, share: float) -> bool:
    """Whether a run is in the control arm: by its id, so that a resumed run stays in its arm."""
    digest = hashlib.sha256(f"control {run}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def worth(win: Trial, since: Sequence[Trial]) -> float:
    """What a win still counts: 1 - the median win rate of tasks in the runs since, at least 0.

    Args:
        win: of a record.
        since: later runs of the repository; none leaves the win whole.
    """
    if not win.win:
        return 0.0
    rates: dict[str, list[bool]] = defaultdict(list)
    for trial in since:
        rates[trial.task].append(trial.win)
    if not rates:
        return 1.0
    return max(0.0, 1.0 - median(sum(wins) / len(wins) for wins in rates.values()))
