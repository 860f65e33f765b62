"""Co-change: which files, and which tests, a change of some files has needed before.

Evolutionary coupling by counting (Zimmermann, Weißgerber, Diehl and Zeller, Mining version
histories to guide software changes, TSE 2005), softened: a commit counts less the more files it
touches and the older it is, and confidence is smoothed, so that one coincidence is no rule.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evo_agent.memory.precedents import LARGEST, Precedent
from evo_agent.memory.resemblance import Resemblance
from evo_agent.memory.shapes import Function

HALF_LIFE = 2_000.0  # commits after which a link counts half
PRIOR = 0.5  # weight of "it goes alone" that every file begins with


@dataclass(frozen=True, slots=True)
class Companion:
    """A path that goes along with a change.

    Attributes:
        path: of the file or test.
        score: 0…1, comparable within one answer.
        why: the evidence, in words.
        support: commits that changed both.
        commits: the newest of them, at most three, newest first.
    """

    path: str
    score: float
    why: str
    support: int = 0
    commits: tuple[str, ...] = ()


class CoChange:
    """Counts over precedents, made once and asked often.

    Args:
        precedents: oldest first, only those that may answer, paths under today's names.
    """

    def __init__(self, precedents: Sequence[Precedent]) -> None:
        self._precedents = precedents
        self._of_file: dict[str, list[int]] = defaultdict(list)
        self._of_function: dict[Function, list[int]] = defaultdict(list)
        for position, one in enumerate(precedents):
            if len(one.files) + len(one.tests) <= LARGEST:
                for path in (*one.files, *one.tests):
                    self._of_file[path].append(position)
                for function in one.functions:
                    self._of_function[function].append(position)

    def files(
        self, seeds: Iterable[str], like: Mapping[int, float] | None = None
    ) -> dict[str, float]:
        """Confidence, 0…1, that a change of the seeds needs a file (no test), by path.

        Args:
            seeds: paths; left out of the answer.
            like: position to resemblance with the task, 0…1: then only such commits count, so much.
        """
        of = {path: self._of_file.get(path, []) for path in seeds}
        found = _either(self._confidence(at, like, tests=False) for at in of.values())
        return {path: score for path, score in found.items() if path not in of}

    def tests(
        self,
        seeds: Iterable[str],
        functions: Iterable[Function] = (),
        like: Mapping[int, float] | None = None,
    ) -> dict[str, float]:
        """The same for tests; of functions, what touched them, whatever else they lie with."""
        places = [self._of_file.get(path, []) for path in seeds]
        places += [self._of_function.get(function, []) for function in functions]
        return _either(self._confidence(at, like, tests=True) for at in places)

    def together(self, seeds: Iterable[str], path: str) -> list[int]:
        """Positions of the commits that changed a path and any of the seeds, newest first."""
        either = {at for seed in seeds for at in self._of_file.get(seed, ())}
        return sorted(either.intersection(self._of_file.get(path, ())), reverse=True)

    def _confidence(
        self, positions: Sequence[int], like: Mapping[int, float] | None, *, tests: bool
    ) -> dict[str, float]:
        total = PRIOR
        found: dict[str, float] = defaultdict(float)
        for position in positions:
            one = self._precedents[position]
            weight = self._weight(position, one) * (
                1.0 if like is None else like.get(position, 0.0)
            )
            total += weight
            for path in one.tests if tests else one.files:
                found[path] += weight
        return {path: weight / total for path, weight in found.items() if weight}

    def _weight(self, position: int, one: Precedent) -> float:
        age = len(self._precedents) - position
        return float(0.5 ** (age / HALF_LIFE)) / math.log2(1 + len(one.files) + len(one.tests))


def companions(
    changes: Sequence[Precedent], files: Sequence[str], *, text: str = "", count: int = 10
) -> tuple[Companion, ...]:
    """Files, no tests, that earlier changes of these files needed too, best first.

    Args:
        changes: oldest first, only those that may answer, paths under today's names.
        files: paths that are known to change.
        text: the task's; commits that resemble it count more.
        count: at most so many.
    """
    counts = CoChange(changes)
    scores = counts.files(files)
    if text:
        scores = _raised(scores, counts.files(files, Resemblance(changes).to(text)))
    return _explained(counts, changes, files, scores, count)


def needed_tests(
    changes: Sequence[Precedent],
    files: Sequence[str],
    *,
    functions: Sequence[Function] = (),
    text: str = "",
    count: int = 10,
) -> tuple[Companion, ...]:
    """Tests that earlier changes of these files and functions needed, best first; see companions."""
    counts = CoChange(changes)
    scores = counts.tests(files, functions)
    if text:
        scores = _raised(scores, counts.tests(files, functions, Resemblance(changes).to(text)))
    return _explained(counts, changes, files, scores, count)


def _raised(plain: Mapping[str, float], alike: Mapping[str, float]) -> dict[str, float]:
    return {path: (score + alike.get(path, 0.0)) / 2 for path, score in plain.items()}


def _either(confidences: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Noisy or: that at least one of the seeds asks for a path."""
    missing: dict[str, float] = {}
    for confidence in confidences:
        for path, value in confidence.items():
            missing[path] = missing.get(path, 1.0) * (1.0 - value)
    return {path: 1.0 - value for path, value in missing.items()}


def _explained(
    counts: CoChange,
    changes: Sequence[Precedent],
    seeds: Sequence[str],
    scores: Mapping[str, float],
    count: int,
) -> tuple[Companion, ...]:
    best = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:count]
    found = []
    for path, score in best:
        both = counts.together(seeds, path)
        last = changes[both[0]] if both else None
        said = f", last in {last.sha[:12]} “{last.title}”" if last else ""
        times = f"{len(both)} earlier change{'' if len(both) == 1 else 's'}"
        why = f"changed together with {', '.join(seeds[:3])} in {times}{said}"
        shas = tuple(changes[at].sha for at in both[:3])
        found.append(Companion(path, round(score, 4), why, len(both), shas))
    return tuple(found)
