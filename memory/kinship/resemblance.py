"""Which earlier messages are about what a task says: BM25 over messages, in memory.

Robertson and Zaragoza, The probabilistic relevance framework: BM25 and beyond (2009); a message
holds a word once or not at all, and its length hardly varies, so what is left is the sum of the
shared words' information over a mild norm of length.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from evo_agent.memory.kinship.precedents import Precedent, message_words
from evo_agent.memory.kinship.shapes import Function

_LENGTH = 0.3  # share of the norm that length has (BM25's b)
_LONGEST_QUERY = 100  # words
Place = TypeVar("Place", str, Function)


class Resemblance:
    """An inverted index over the messages of precedents.

    Args:
        precedents: oldest first, only those that may answer.
    """

    def __init__(self, precedents: Sequence[Precedent]) -> None:
        self._size = len(precedents)
        self._lengths = [len(one.words) for one in precedents]
        self._holding: dict[str, list[int]] = defaultdict(list)
        for position, one in enumerate(precedents):
            for word in one.words:
                self._holding[word].append(position)
        self._mean = sum(self._lengths) / max(1, self._size) or 1.0

    def to(self, text: str) -> dict[int, float]:
        """Position to resemblance, 0…1: the share of the text's information that a message holds."""
        return self.weighed(dict.fromkeys(message_words(text)[:_LONGEST_QUERY], 1.0))

    def weighed(self, words: Mapping[str, float]) -> dict[int, float]:
        """The same for words that count differently."""
        information = {word: weight * self._information(word) for word, weight in words.items()}
        whole = sum(information.values()) or 1.0
        found: dict[int, float] = defaultdict(float)
        for word, value in information.items():
            for position in self._holding.get(word, ()):
                found[position] += value / whole
        return {position: value * self._norm(position) for position, value in found.items()}

    def _information(self, word: str) -> float:
        holding = len(self._holding.get(word, ()))
        return math.log(1 + (self._size - holding + 0.5) / (holding + 0.5))

    def _norm(self, position: int) -> float:
        return 1.0 / (1.0 - _LENGTH + _LENGTH * max(1.0, self._lengths[position] / self._mean))


def best_told(
    precedents: Sequence[Precedent],
    alike: Mapping[int, float],
    touched: Callable[[Precedent], Iterable[Place]],
) -> dict[Place, tuple[float, int]]:
    """Of each place that a resembling commit touched: how much the nearest resembles, and which.

    Args:
        precedents: oldest first.
        alike: position to resemblance, as Resemblance gives it.
        touched: its files, its tests or its functions.
    """
    found: dict[Place, tuple[float, int]] = {}
    for at, value in alike.items():
        for place in touched(precedents[at]):
            if (value, at) > found.get(place, (0.0, -1)):
                found[place] = (value, at)
    return found
