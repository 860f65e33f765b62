"""Co-change: which files, and which tests, a change of some files has needed before.

Evolutionary coupling by counting (Zimmermann, Weißgerber, Diehl and Zeller, Mining version
histories to guide software changes, TSE 2005), softened: a commit counts less the more files it
touches and the older it is, and confidence is smoothed, so that one coincidence is no rule.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evo_agent.memory.kinship.precedents import LARGEST, Precedent
from evo_agent.memory.kinship.resemblance import Resemblance, best_told
from evo_agent.memory.kinship.shapes import Function

HALF_LIFE = 2_000.0  # commits after which a link counts half
PRIOR = 0.5  # weight of "it goes alone" that every file begins with
_WORTH_SAYING = 0.3  # share of the task's information


@dataclass(frozen=True, slots=True)
class Weights:
    """What each piece of evidence is worth: fitted by bench/history.py on twelve repositories."""

    together: float = 1.2  # confidence of co-change, of the answer's highest
    coupled: float = 2.5  # its cosine
    told: float = 2.0  # the best resembling message of a change there
    tests_of_files: float = 0.7
    tests_coupled: float = 2.2
    tests_of_functions: float = 3.0
    tests_told: float = 0.4


WEIGHTS = Weights()


@dataclass(frozen=True, slots=True)
class Companion:
    """A path that goes along with a change.

    Attributes:
        path: of the file or test.
        score: 0 and more, comparable within one answer.
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

    def files(self, seeds: Iterable[str]) -> dict[str, float]:
        """Confidence, 0…1, that a change of the seeds needs a file (no test, no seed), by path."""
        of = {path: self._of_file.get(path, []) for path in seeds}
        found = _either(self._confidence(at, tests=False) for at in of.values())
        return {path: score for path, score in found.items() if path not in of}

    def tests(self, seeds: Iterable[str], functions: Iterable[Function] = ()) -> dict[str, float]:
        """The same for tests; of functions, what touched them, whatever else they lie with."""
        places = [self._of_file.get(path, []) for path in seeds]
        places += [self._of_function.get(function, []) for function in functions]
        return _either(self._confidence(at, tests=True) for at in places)

    def coupling(self, seeds: Iterable[str], *, tests: bool = False) -> dict[str, float]:
        """Cosine, 0…1, of two paths' commits, the best over the seeds: what is in everything is cut."""
        found: dict[str, float] = defaultdict(float)
        for seed in seeds:
            own = self._of_file.get(seed, [])
            mass = PRIOR + sum(self._weight(at, self._precedents[at]) for at in own)
            for path, share in self._confidence(own, tests=tests).items():
                other = PRIOR + sum(
                    self._weight(at, self._precedents[at]) for at in self._of_file[path]
                )
                found[path] = max(found[path], share * math.sqrt(mass / other))
        return {path: min(1.0, score) for path, score in found.items()}

    def named(self, position: int) -> str:
        """A commit, for people."""
        one = self._precedents[position]
        return f"{one.sha[:12]} “{one.title}”"

    def sha(self, position: int) -> str:
        """A commit's SHA."""
        return self._precedents[position].sha

    def together(self, seeds: Iterable[str], path: str) -> list[int]:
        """Positions of the commits that changed a path and any of the seeds, newest first."""
        either = {at for seed in seeds for at in self._of_file.get(seed, ())}
        return sorted(either.intersection(self._of_file.get(path, ())), reverse=True)

    def _confidence(self, positions: Sequence[int], *, tests: bool) -> dict[str, float]:
        total = PRIOR
        found: dict[str, float] = defaultdict(float)
        for position in positions:
            one = self._precedents[position]
            weight = self._weight(position, one)
            total += weight
            for path in one.tests if tests else one.files:
                found[path] += weight
        return {path: weight / total for path, weight in found.items()}

    def _weight(self, position: int, one: Precedent) -> float:
        age = len(self._precedents) - position
        return float(0.5 ** (age / HALF_LIFE)) / math.log2(1 + len(one.files) + len(one.tests))


def companions(
    changes: Sequence[Precedent], files: Sequence[str], *, text: str = "", count: int = 10
) -> tuple[Companion, ...]:
    """Files, no tests, that a change of these files will need too, best first.

    Args:
        changes: oldest first, only those that may answer, paths under today's names.
        files: paths that are known to change.
        text: the task's; files of commits that say the same come first.
        count: at most so many.
    """
    counts = CoChange(changes)
    together, coupled = _relative(counts.files(files)), counts.coupling(files)
    told = best_told(changes, Resemblance(changes).to(text), lambda one: one.files) if text else {}
    w = WEIGHTS
    scores = {
        path: w.together * together.get(path, 0.0)
        + w.coupled * coupled.get(path, 0.0)
        + w.told * told.get(path, (0.0, 0))[0]
        for path in (together.keys() | told.keys()).difference(files)
    }
    return _explained(counts, files, scores, told, count)


def needed_tests(
    changes: Sequence[Precedent],
    files: Sequence[str],
    *,
    functions: Sequence[Function] = (),
    text: str = "",
    count: int = 10,
) -> tuple[Companion, ...]:
    """Tests that a change of these files and functions will need, best first; see companions."""
    counts = CoChange(changes)
    by_file, by_function = _relative(counts.tests(files)), counts.tests((), functions)
    coupled = counts.coupling(files, tests=True)
    told = best_told(changes, Resemblance(changes).to(text), lambda one: one.tests) if text else {}
    w = WEIGHTS
    scores = {
        path: w.tests_of_files * by_file.get(path, 0.0)
        + w.tests_coupled * coupled.get(path, 0.0)
        + w.tests_of_functions * by_function.get(path, 0.0)
        + w.tests_told * told.get(path, (0.0, 0))[0]
        for path in by_file.keys() | by_function.keys() | told.keys()
    }
    return _explained(counts, files, scores, told, count)


def _relative(scores: Mapping[str, float]) -> dict[str, float]:
    highest = max(scores.values(), default=1.0) or 1.0
    return {path: score / highest for path, score in scores.items()}


def _either(confidences: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Noisy or: that at least one of the seeds asks for a path."""
    missing: dict[str, float] = {}
    for confidence in confidences:
        for path, value in confidence.items():
            missing[path] = missing.get(path, 1.0) * (1.0 - value)
    return {path: 1.0 - value for path, value in missing.items()}


def _explained(
    counts: CoChange,
    seeds: Sequence[str],
    scores: Mapping[str, float],
    told: Mapping[str, tuple[float, int]],
    count: int,
) -> tuple[Companion, ...]:
    best = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:count]
    return tuple(
        _companion(counts, seeds, path, score, told.get(path)) for path, score in best if score > 0
    )


def _companion(
    counts: CoChange,
    seeds: Sequence[str],
    path: str,
    score: float,
    told: tuple[float, int] | None,
) -> Companion:
    both = counts.together(seeds, path)
    parts = []
    if both:
        times = "1 earlier change" if len(both) == 1 else f"{len(both)} earlier changes"
        named = ", ".join(seeds[:3])
        parts.append(f"changed together with {named} in {times}, last in {counts.named(both[0])}")
    if told is not None and told[0] >= _WORTH_SAYING:
        parts.append(f"{counts.named(told[1])} says {told[0]:.0%} of what the task says")
    commits = tuple(counts.sha(at) for at in both[:3])
    why = "; ".join(parts) or "changed by commits with some of the task's words"
    return Companion(path, round(score, 4), why, len(both), commits)
