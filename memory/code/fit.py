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
PRIOR = 1.0  # what weights are drawn to: of few rows, equal weights are hard to beat
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


def fitted(lists: Sequence[Listed], l2: float, unproved: int = 0) -> "Floats":
    """Weights that make the gold likely, at 0 or more.

    Args:
        lists: at least one; those without gold are left out.
        l2: penalty on the squares of what the weights differ from PRIOR.
        unproved: the last so many features are drawn to 0 instead.
    """
    import numpy as np

    features, outside, gold = _stacked([_pruned(one) for one in lists if one.gold])
    prior = np.full(features.shape[2], PRIOR)
    prior[len(prior) - unproved :] = 0.0
    weights = prior.copy()
    first = second = np.zeros_like(weights)
    for number in range(1, _ROUNDS + 1):
        score = features @ weights + outside
        likely = np.exp(score - score.max(1, keepdims=True))
        likely /= likely.sum(1, keepdims=True)
        slope = gold - np.einsum("nc,ncf->f", likely, features) / len(features)
        slope -= l2 * (weights - prior)
        first = _FIRST_DECAY * first + (1 - _FIRST_DECAY) * slope
        second = _SECOND_DECAY * second + (1 - _SECOND_DECAY) * slope**2
        mean = first / (1 - _FIRST_DECAY**number)
        spread = np.sqrt(second / (1 - _SECOND_DECAY**number))
        weights = np.maximum(weights + _STEP * mean / (spread + 1e-8), 0.0)
    return weights


def _stacked(lists: Sequence[Listed]) -> "tuple[Floats, Floats, Floats]":
    """Lists side by side, filled up; minus infinity at the filling; the gold's mean features."""
    import numpy as np

    longest = max(len(one.features) for one in lists)
    features = np.zeros((len(lists), longest, lists[0].features.shape[1]))
    outside = np.full((len(lists), longest), -np.inf)
    gold = np.zeros(features.shape[2])
    for number, one in enumerate(lists):
        features[number, : len(one.features)] = one.features
        outside[number, : len(one.features)] = 0.0
        gold += one.features[list(one.gold)].mean(0) / len(lists)
    return features, outside, gold


def rank(one: Listed, weights: "Floats") -> int:
    """Place of the first gold row, from 1; ties go by row. 0 without gold."""
    import numpy as np

    if not one.gold:
        return 0
    place = np.argsort(np.argsort(-(one.features @ weights), kind="stable"), kind="stable")
    return int(min(place[row] for row in one.gold)) + 1


def _pruned(one: Listed) -> Listed:
    import numpy as np

    best = np.argsort(-one.features.sum(1), kind="stable")[:_KEPT]
    kept = np.unique(np.concatenate([best, np.array(one.gold, int)]))
    return Listed(one.features[kept], [int(np.searchsorted(kept, row)) for row in one.gold])
