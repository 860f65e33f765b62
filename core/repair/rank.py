"""Which plausible patch to hand over.

Tests accept more patches than people do (Qi, Long, Achour and Rinard, "An Analysis of Patch
Plausibility and Correctness for Generate-and-Validate Patch Generation Systems", ISSTA 2015;
most accepted wrong patches delete functionality). So: deletions last, then the candidate
that the search rated highest and that changes least.
"""

from collections.abc import Iterable

from evo_agent.core.repair.edits import Mutant

SMALL = 4  # bytes; differences below this say nothing


def ranked(plausible: Iterable[Mutant]) -> list[Mutant]:
    """Plausible candidates, the one to hand over first."""
    return sorted(plausible, key=lambda m: (m.deletes, -_merit(m), m.size, m.line, m.key))


def settled(plausible: Iterable[Mutant], score: float) -> bool:
    """Whether no candidate that the search rates `score` or less would be handed over first."""
    return any(not m.deletes and _merit(m) > score for m in plausible)


def _merit(mutant: Mutant) -> float:
    """The search's score, discounted by size (an added character is an added assumption)."""
    return mutant.score / (1.0 + max(0, mutant.size - SMALL) / 40.0)
