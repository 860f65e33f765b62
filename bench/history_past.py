"""What history says of one memory, true or shuffled, and how scores are put together."""

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from history_source import Scores, Tree, folder_words, stem_words

from evo_agent.memory.journal.words import terms
from evo_agent.memory.kinship.cochange import CoChange
from evo_agent.memory.kinship.precedents import Precedent
from evo_agent.memory.kinship.resemblance import Resemblance

BLOCK = 500  # neighbouring commits among which the control permutes: popularity keeps its time

Table = Mapping[str, Mapping[Any, float]]


class Past:
    """History's counts over one memory, true or shuffled."""

    def __init__(self, precedents: Sequence[Precedent], text: str, diffs: dict[int, float]) -> None:
        self.precedents = precedents
        self.alike = Resemblance(precedents).to(text)
        self.diffs = diffs
        self.counts = CoChange(precedents)

    def by_message(
        self, touched: Callable[[Precedent], Iterable[Any]], *, diffs: bool = False
    ) -> tuple[dict[Any, float], dict[Any, float]]:
        """Of places: resembling messages (or diffs) of changes there, summed and the best."""
        whole: dict[Any, float] = defaultdict(float)
        best: dict[Any, float] = defaultdict(float)
        for at, value in (self.diffs if diffs else self.alike).items():
            places = tuple(touched(self.precedents[at]))
            for place in places:
                whole[place] += value**2 / math.sqrt(len(places))
                best[place] = max(best[place], value)
        return whole, best

    def popular(self, touched: Callable[[Precedent], Iterable[Any]]) -> dict[Any, float]:
        """Of places: how often and how lately they were changed."""
        found: dict[Any, float] = defaultdict(float)
        last = len(self.precedents)
        for at, one in enumerate(self.precedents):
            for place in touched(one):
                found[place] += 0.5 ** ((last - at) / 1000)
        return {place: math.log1p(value) for place, value in found.items()}


def shuffled(precedents: Sequence[Precedent], seed: str) -> list[Precedent]:
    """The control: who touched what is permuted among neighbours; messages and sizes stay.

    Every file, test, function and shape stays as frequent as it was, at about the same time.
    """
    dice = random.Random(seed)
    found: list[Precedent] = []
    for start in range(0, len(precedents), BLOCK):
        block = precedents[start : start + BLOCK]
        pools = [
            [item for one in block for item in of(one)]
            for of in (lambda o: o.files, lambda o: o.tests, lambda o: o.functions)
        ]
        shapes = [one.shape for one in block]
        for pool in (*pools, shapes):
            dice.shuffle(pool)
        files, tests, functions = (iter(pool) for pool in pools)
        for one, shape in zip(block, shapes, strict=True):
            found.append(
                replace(
                    one,
                    files=tuple(dict.fromkeys(next(files) for _ in one.files)),
                    tests=tuple(dict.fromkeys(next(tests) for _ in one.tests)),
                    functions=tuple(dict.fromkeys(next(functions) for _ in one.functions)),
                    shape=shape,
                )
            )
    return found


def functions_of(one: Precedent) -> tuple[tuple[str, str], ...]:
    return one.functions


def resembling(texts: Sequence[frozenset[str]], text: str) -> dict[int, float]:
    """Like Resemblance, without an index: position to the share of the text's information."""
    words = set(terms(text))
    holding = {word: [at for at, one in enumerate(texts) if word in one] for word in words}
    size = len(texts)
    information = {
        w: math.log(1 + (size - len(h) + 0.5) / (len(h) + 0.5)) for w, h in holding.items()
    }
    whole = sum(information.values()) or 1.0
    found: dict[int, float] = defaultdict(float)
    for word, positions in holding.items():
        for at in positions:
            found[at] += information[word] / whole / (0.5 + len(texts[at]) / 200)
    return found


def fused(table: Table) -> dict[Any, float]:
    whole: dict[Any, float] = defaultdict(float)
    for scores in table.values():
        highest = max(scores.values(), default=0.0) or 1.0
        for one, value in scores.items():
            whole[one] += value / highest
    return whole


def foremost(scores: Mapping[Any, float], count: int) -> list[Any]:
    held = [one for one, value in scores.items() if value > 0]
    return sorted(held, key=lambda one: (-scores[one], str(one)))[:count]


def nearest(tree: Tree, files: Sequence[str], of: Callable[[str, str], float]) -> Scores:
    return {test: max(of(test, source) for source in files) for test in tree.files}


def same_path(test: str, source: str) -> float:
    """Whether a test's whole path has the words of a source's (tests/model_fields/test_integer)."""
    own = folder_words(source) | stem_words(source)
    return len(own & (folder_words(test) | stem_words(test))) / max(1, len(own))
