"""Fitting non-negative weights to rankings: a listwise logit.

ListNet's top-one likelihood (Cao et al., Learning to Rank: From Pairwise Approach to Listwise
Approach, ICML 2007), climbed by Adam (Kingma and Ba, 2015), weights kept at 0 or more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evo_agent.memory.code.corpus import Floats

_ROUNDS = 250
_STEP = 0.2
_FIRST_DECAY, _SECOND_DECAY = 0.9, 0.99
_START = 3.0  # of every weight: a temperature at which lists of hundreds are not flat
_KEPT = 80  # candidates of a list that are fitted on: the best by plain sum, and the gold


@dataclass(frozen=True, slots=True)
class Listed:
    """One instance: features (candidates by features, each column at most 1) and the gold rows."""

    features: "Floats"
    gold: Sequence[int]


def scaled(columns: "Sequence[Floats]") -> "Floats":
    """Features side by side, each divided by its maximum in the instance."""
    import numpy as np

    return np.stack([c / peak if (peak := c.max(initial=0.0)) > 0 else c * 0 for c in columns], 1)


def fitted(lists: Sequence[Listed], l2: float) -> "Floats":
    """Weights that make the gold likely, at 0 or more.

    Args:
        lists: at least one; those without gold are left out.
        l2: penalty on the squares.
    """
    import numpy as np

    pruned = [_pruned(one) for one in lists if one.gold]
    weights = np.full(pruned[0].features.shape[1], _START)
    first = second = np.zeros_like(weights)
    for number in range(1, _ROUNDS + 1):
        slope = sum(_slope(one, weights) for one in pruned) / len(pruned) - l2 * weights
        first = _FIRST_DECAY * first + (1 - _FIRST_DECAY) * slope
        second = _SECOND_DECAY * second + (1 - _SECOND_DECAY) * slope**2
        mean = first / (1 - _FIRST_DECAY**number)
        spread = np.sqrt(second / (1 - _SECOND_DECAY**number))
        weights = np.maximum(weights + _STEP * mean / (spread + 1e-8), 0.0)
    return weights


def rank(one: Listed, weights: "Floats") -> int:
    """Place of the first gold row, from 1; ties go by row. 0 without gold."""
    import numpy as np

    if not one.gold:
        return 0
    place = np.argsort(np.argsort(-(one.features @ weights), kind="stable"), kind="stable")
    return int(min(place[row] for row in one.gold)) + 1


def _slope(one: Listed, weights: "Floats") -> "Floats":
    import numpy as np

    score = one.features @ weights
    likely = np.exp(score - score.max())
    slope: Floats = one.features[list(one.gold)].mean(0) - (likely / likely.sum()) @ one.features
    return slope


def _pruned(one: Listed) -> Listed:
    import numpy as np

    best = np.argsort(-one.features.sum(1), kind="stable")[:_KEPT]
    kept = np.unique(np.concatenate([best, np.array(one.gold, int)]))
    return Listed(one.features[kept], [int(np.searchsorted(kept, row)) for row in one.gold])
