"""Fitting weights to questions, ranking with them, and how sure a difference is."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np  # noqa: TID253 - a bench that fits needs it from the start
from history_features import Question

STEPS, RATE, DECAY = 150, 0.15, 1e-3
RESAMPLES = 4_000
ARMS = {"off": "", "on": "+", "shuffled": "-"}


@dataclass(frozen=True)
class Ranked:
    """Of a question: average precision and reciprocal rank of its truths, and of the best ten."""

    repo: str
    ap: float
    rr: float
    p10: float
    r5: float
    r10: float

    def measured(self, metric: str) -> float:
        """One of them by its name."""
        return float(getattr(self, metric))


def columns(question: Question, arm: str) -> list[int]:
    """Features of an arm: what search says, and for two of them what (shuffled) history says."""
    sign = ARMS[arm]
    return [
        at
        for at, name in enumerate(question.names)
        if name[0] not in "+-" or (sign and name[0] == sign)
    ]


def fit(questions: Sequence[Question], arm: str) -> np.ndarray:
    """Weights, none negative, of a listwise logit (Cao et al., ListNet, ICML 2007), by Adam."""
    chosen = [q for q in questions if q.true]
    at = columns(chosen[0], arm)
    longest = max(len(q.values) for q in chosen)
    values = np.zeros((len(chosen), longest, len(at)), dtype=np.float32)
    truth = np.zeros((len(chosen), longest), dtype=np.float32)
    hidden = np.full((len(chosen), longest), -1e9, dtype=np.float32)
    for row, question in enumerate(chosen):
        values[row, : len(question.values)] = np.asarray(question.values, dtype=np.float32)[:, at]
        truth[row, list(question.true)] = 1.0 / len(question.true)
        hidden[row, : len(question.values)] = 0.0
    weights = np.ones(len(at), dtype=np.float32)
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, STEPS + 1):
        logits = values @ weights + hidden
        logits -= logits.max(axis=1, keepdims=True)
        share = np.exp(logits)
        share /= share.sum(axis=1, keepdims=True)
        gradient = np.einsum("qc,qcf->f", share - truth, values) / len(chosen) + DECAY * weights
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        move = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        weights = np.maximum(weights - RATE * move, 0.0)
    return weights


def rank(question: Question, arm: str, weights: np.ndarray) -> Ranked:
    if not question.values:
        return Ranked(question.repo, 0.0, 0.0, 0.0, 0.0, 0.0)
    scores = np.asarray(question.values, dtype=np.float32)[:, columns(question, arm)] @ weights
    # Ties go to the worse: a candidate that nothing tells apart has not been found.
    true = np.zeros(len(scores), dtype=bool)
    true[list(question.true)] = True
    order = np.lexsort((true, -scores))
    ranks = np.flatnonzero(true[order]) + 1
    gold = question.gold
    return Ranked(
        question.repo,
        ap=float(sum((i + 1) / r for i, r in enumerate(ranks)) / gold),
        rr=float(1 / ranks[0]) if len(ranks) else 0.0,
        p10=float((ranks <= 10).sum() / 10),
        r5=float((ranks <= 5).sum() / gold),
        r10=float((ranks <= 10).sum() / gold),
    )


def left_out(questions: Sequence[Question], arm: str) -> list[Ranked]:
    """Rank the questions of every repository with weights fitted on all the others."""
    by_repo: dict[str, list[int]] = defaultdict(list)
    for at, question in enumerate(questions):
        by_repo[question.repo].append(at)
    found: dict[int, Ranked] = {}
    for held in by_repo.values():
        own = set(held)
        weights = fit([q for at, q in enumerate(questions) if at not in own], arm)
        found |= {at: rank(questions[at], arm, weights) for at in held}
    return [found[at] for at in range(len(questions))]


def interval(gains: Sequence[float], groups: Sequence[str] = ()) -> tuple[float, float]:
    """95 % of the bootstrapped mean, resampling questions, or whole groups of them."""
    dice = np.random.default_rng(0)
    if not groups:
        data = np.asarray(gains)
        means = [data[dice.integers(0, len(data), len(data))].mean() for _ in range(RESAMPLES)]
    else:
        by_group: dict[str, list[float]] = defaultdict(list)
        for gain, group in zip(gains, groups, strict=True):
            by_group[group].append(gain)
        lists = [np.asarray(one) for one in by_group.values()]
        sums, sizes = np.array([x.sum() for x in lists]), np.array([len(x) for x in lists])
        drawn = dice.integers(0, len(lists), (RESAMPLES, len(lists)))
        means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
