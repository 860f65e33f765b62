"""How evidence becomes a rank: the weights, in one table, and the formula.

Evidence comes as numbers, or as arrays of them, one for every record: the formula is the same.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evo_agent.core.types import Query
from evo_agent.memory.journal.words import spellings, terms

Numbers = Any  # a number, or numpy's array of them


@dataclass(frozen=True, slots=True)
class Weights:
    """Every number that decides about a ranking, in one place."""

    coverage: float = 1.0  # share of the query's information that a record holds, 0…1
    bm25: float = 0.5  # relative to the best of those that may answer, 0…1
    dense: float = 1.0  # cosine, 0…1
    path: float = 0.4  # a file in question is among the record's
    recency: float = 0.1  # halves with every `half_life` before the newest that may answer, 0…1
    verified: float = 1.25  # factor: a test stands behind it
    active: float = 1.2  # factor: it has helped before
    intent_fix: float = 1.1  # factor: the commit mended something
    half_life: float = 2 * 365.25 * 86_400  # seconds
    # Floors: a record answers when either says that it is about the same thing.
    least_coverage: float = 0.22
    least_verified: float = 0.15  # the same for what a test proved: rare, and worth a look
    least_shared: int = 2  # terms in common, unless one alone covers `alone` of a short query
    alone: float = 0.3
    query_terms: int = 32  # most telling terms of the query that are searched for
    title: float = 2.0  # factor of the information of a term in the query's first characters
    reserved: int = 2  # places kept for runs and skills among commits
    alike: float = 0.9  # cosine from which on two records say the same
    most_alike: int = 2  # of records that say the same, so many answer


WEIGHTS = Weights()
_PATH = re.compile(  # starts and lengths are bounded: without, a hostile issue takes hours
    r"(?<![\w.-])[\w.-]++(?:/[\w.-]++)+|\b[\w-]{1,100}\.(?:py|js|ts|tsx|go|rs|java|c|h|cpp|rb|toml|cfg)\b"
)
_LONGEST_QUERY = 20_000  # characters of the query that are looked at
_MOST_TERMS = 2_000
_TITLE = 200  # characters: a title says most
_MOST_PATHS = 100
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Asked:
    """The query, taken apart once.

    Attributes:
        weight: term to its share of the query's information; they sum to 1.
        spelt: term to the query's spelling, for people.
        paths: files that it names.
    """

    weight: Mapping[str, float]
    spelt: Mapping[str, str]
    paths: frozenset[str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for a record: each a number, or an array with one for every record.

    Attributes:
        coverage: sum of the weights of the query's terms that it holds.
        shared: how many these are.
        bm25: relative to the best, 0…1.
        cosine: -1…1.
        touched: whether it touches a file that the query names.
        age: seconds that it is older than the newest that may answer.
        proved, active, mending: whether a test stands behind it, it has helped, it is a fix.
    """

    coverage: Numbers
    shared: Numbers
    bm25: Numbers
    cosine: Numbers
    touched: Numbers
    age: Numbers
    proved: Numbers
    active: Numbers
    mending: Numbers


def taken_apart(
    query: Query,
    frequencies: Callable[[Sequence[str]], Sequence[int]],
    total: int,
    weights: Weights = WEIGHTS,
) -> Asked:
    """The query's most telling terms; a term that nobody ever wrote is the most telling.

    Args:
        query: the question.
        frequencies: in how many records each of some terms stands.
        total: how many records there are.
        weights: see Weights.
    """
    text = query.text[:_LONGEST_QUERY]
    words = list(dict.fromkeys(terms(text)[:_MOST_TERMS]))
    head = set(terms(text[:_TITLE]))
    rated = {
        word: math.log(1 + (total + 1) / (0.5 + count)) * (weights.title if word in head else 1.0)
        for word, count in zip(words, frequencies(words), strict=True)
    }
    chosen = sorted(rated, key=lambda word: (-rated[word], word))[: weights.query_terms]
    whole = sum(rated[word] for word in chosen) or 1.0
    return Asked({word: rated[word] / whole for word in chosen}, spellings(text), paths_of(query))


def paths_of(query: Query) -> frozenset[str]:
    """Files that a query names, or its text."""
    found = _PATH.findall(query.text[:_LONGEST_QUERY])
    mentioned = list(dict.fromkeys(match.strip("./") for match in found))
    return frozenset((*query.paths, *mentioned[:_MOST_PATHS])) - {""}


def least(evidence: Evidence, weights: Weights = WEIGHTS) -> Numbers:
    """The coverage from which on a record is near by it alone."""
    return weights.least_coverage + evidence.proved * (
        weights.least_verified - weights.least_coverage
    )


def telling(evidence: Evidence, weights: Weights = WEIGHTS) -> Numbers:
    """Whether enough terms are shared for a record to be looked at: half of what is enough."""
    enough = (evidence.shared >= weights.least_shared) | (evidence.coverage >= weights.alone)
    return enough & (evidence.coverage >= _HALF * least(evidence, weights))


def near(evidence: Evidence, floor: float, alone: float, weights: Weights = WEIGHTS) -> Numbers:
    """Whether a record is near enough to answer.

    Enough terms are shared; or half as many, and the vectors agree (`floor`) or a file is named;
    or the vectors are so near that no term need be shared (`alone`, see Embedder).
    """
    agreed = evidence.touched | (evidence.cosine >= floor)
    full = evidence.coverage >= least(evidence, weights)
    return (telling(evidence, weights) & (full | agreed)) | (evidence.cosine >= alone)


def score(evidence: Evidence, weights: Weights = WEIGHTS) -> Numbers:
    """The fused score."""
    w = weights
    cosine = (evidence.cosine + abs(evidence.cosine)) / 2  # below 0 is 0
    found = w.coverage * evidence.coverage + w.bm25 * evidence.bm25 + w.dense * cosine
    found = found + w.path * evidence.touched + w.recency * 0.5 ** (evidence.age / w.half_life)
    found = found * (1 + evidence.proved * (w.verified - 1))
    found = found * (1 + evidence.active * (w.active - 1))
    return found * (1 + evidence.mending * (w.intent_fix - 1))
