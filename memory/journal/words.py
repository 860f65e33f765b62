"""How text becomes terms: one rule for full-text search, for vectors and for floors.

Identifiers count whole and in parts (`parse_url` also as `parse` and `url`), words lose
their commonest English endings, and nothing depends on locale or hash seed.
"""

import re
import unicodedata
from functools import lru_cache
from itertools import chain

_WORD = re.compile(r"\w+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")
_LONGEST = 64  # characters; beyond are hashes and encoded data, not words
_VOWEL = re.compile("[aeiouy]")
_SHORTEST_STEM = 3  # characters that are left alone

# Function words of English; code's own commonplaces are left to inverse document frequency.
_STOP = """
a about after all also am an and any are as at be because been before being but by can could did
do does doing down during each few for from further had has have having he her here how i if in
into is it its just like me more most my no nor not now of off on once only or other our out
over own same she should so some such than that the their them then there these they this those
through to too under until up very was we were what when where which while who why will with
would you your
"""
STOP_WORDS = frozenset(_STOP.split())


def terms(text: str) -> list[str]:
    """Terms of a text in order, lower-case, stop words left out.

    Args:
        text: anything; of any length.

    Returns:
        Whole identifiers followed by their parts, each stemmed lightly.
    """
    words = _WORD.findall(text)
    if max(map(len, words), default=0) > _LONGEST:
        words = [word for word in words if len(word) <= _LONGEST]
    return list(chain.from_iterable(map(_expanded, words)))


def spellings(text: str) -> dict[str, str]:
    """Term to the word of the text that it is the stem of."""
    words = (word for word in _WORD.findall(text) if len(word) <= _LONGEST)
    return {term: word for word in words for term in _expanded(word)[:1]}


@lru_cache(maxsize=100_000)
def _expanded(word: str) -> tuple[str, ...]:
    plain = word if word.isascii() else _without_marks(word)
    whole = stem(plain.lower().strip("_"))
    parts = _PART.findall(plain)
    lowered = [stem(part.lower()) for part in parts if len(part) > 1] if len(parts) > 1 else []
    return tuple(term for term in (whole, *lowered) if term and term not in STOP_WORDS)


def stem(word: str) -> str:
    """Cut the commonest English endings, so that fix, fixes, fixed and fixing are one term.

    A handful of Porter's rules (An algorithm for suffix stripping, 1980); the rest of them
    costs more than it brings on identifiers.
    """
    if len(word) <= _SHORTEST_STEM or not word.isalpha():
        return word
    if word.endswith("ies"):
        word = word[:-3] + "y"
    elif word.endswith(("xes", "ches", "shes", "sses")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ation", "ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= _SHORTEST_STEM and _VOWEL.search(rest[:-1]):
            word = _undoubled(rest)
            break
    return word[:-1] if word.endswith("e") and len(word) > _SHORTEST_STEM + 1 else word


def _undoubled(word: str) -> str:
    double = word[-1] == word[-2] and word[-1] not in "aeiouls"
    return word[:-1] if double else word


def _without_marks(word: str) -> str:
    decomposed = unicodedata.normalize("NFKD", word)
    return "".join(c for c in decomposed if not unicodedata.combining(c))
