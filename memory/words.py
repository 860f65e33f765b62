"""How text becomes terms: one rule for full-text search, for vectors and for floors.

Identifiers count whole and in parts (`parse_url` also as `parse` and `url`), words lose
their commonest English endings, and nothing depends on locale or hash seed.
"""

import re
import unicodedata

_WORD = re.compile(r"\w+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")
_LONGEST = 64  # characters; beyond are hashes and encoded data, not words
_SHORTEST_STEM = 4  # characters left when an ending is cut
_ENDINGS = ("ations", "ation", "ings", "ing", "ies", "ed", "es", "s")

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
        text: anything; 200,000 characters take about 0.1 s.

    Returns:
        Whole identifiers followed by their parts, each stemmed lightly.
    """
    found: list[str] = []
    for word in _WORD.findall(text):
        if len(word) <= _LONGEST:
            _add(word, found)
    return found


def _add(word: str, found: list[str]) -> None:
    plain = word if word.isascii() else _without_marks(word)
    whole = stem(plain.lower().strip("_"))
    if whole and whole not in STOP_WORDS:
        found.append(whole)
    if plain.isalpha() and (plain.islower() or plain[1:].islower()):
        return
    parts = _PART.findall(plain)
    if len(parts) > 1:
        lowered = (stem(part.lower()) for part in parts if len(part) > 1)
        found.extend(part for part in lowered if part not in STOP_WORDS)


def stem(word: str) -> str:
    """Cut one common English ending where enough is left; anything else stays as it is."""
    if not word.isalpha():
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            return word[: -len(ending)]
    return word


def _without_marks(word: str) -> str:
    decomposed = unicodedata.normalize("NFKD", word)
    return "".join(c for c in decomposed if not unicodedata.combining(c))
