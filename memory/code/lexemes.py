"""A source as counted terms: by chunk (function, class or the module's rest) and by field.

Terms are kept as 32-bit hashes, so that a source's entry depends on nothing but its bytes; a
query of 300 terms meets a false one in a vocabulary of 200,000 about once in 70 queries.
"""

import json
import re
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from evo_agent.memory.code.symbols import LARGEST, Definition, definitions
from evo_agent.memory.journal.words import terms

VERSION = 2  # of what is cached; raised when anything here or in symbols changes
_LONGEST_WORD = 64  # characters
_MOST_CHUNKS = 4_000  # of one source; what follows counts to the module
_MOST_COUNTED = 255

# A string or a comment of the languages of `grammars`, in time linear in its length.
_LEXEME = re.compile(
    r'(\'\'\'(?s:.)*?(?:\'\'\'|\Z)|"""(?s:.)*?(?:"""|\Z)|"(?:[^"\\\n]|\\.)*+"?'
    r"|'(?:[^'\\\n]|\\.)*+'?|`(?:[^`\\]|\\(?s:.))*+`?|(?:\#|//)[^\n]*+|/\*(?s:.)*?(?:\*/|\Z))"
)
_WORD = re.compile(r"[^\W\d]\w*")
_CALLED = re.compile(r"([^\W\d]\w{1,63})\(")
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+([\w.]+))", re.MULTILINE
)
_MOST_IMPORTS = 200


class Field(IntEnum):
    """Where in a chunk a term stands."""

    CODE = 0
    DOC = 1  # docstrings and comments
    STRING = 2
    NAME = 3  # of the definition, with its parts
    CALLED = 4  # exact name followed by a parenthesis
    DEFINED = 5  # exact name of the definition
    SCOPE = 6  # of the definitions around it, with their parts


@dataclass(frozen=True, slots=True)
class Counted:
    """A source's terms.

    Attributes:
        terms: hashes.
        chunks: chunk of each; 0 is the module's rest, n is chunk n - 1 of `places`.
        fields: Field of each.
        counts: how often, at most 255.
        places: qualified name, kind, first and last line of each chunk but the module's rest.
        imports: modules that it names in imports, as written.
    """

    terms: "array[int]"
    chunks: "array[int]"
    fields: "array[int]"
    counts: "array[int]"
    places: tuple[tuple[str, str, int, int], ...]
    imports: tuple[str, ...]


def counted(path: str, source: bytes) -> Counted:
    """Count the terms of a source; see Counted."""
    found = _outermost(definitions(path, source))[:_MOST_CHUNKS]
    text = source[:LARGEST].decode("utf-8", "replace")
    made = Counted(array("I"), array("H"), array("B"), array("B"), _places(found), _imports(text))
    for chunk, owned in enumerate(_owned(text.split("\n"), found)):
        for field, counts in _by_field(owned).items():
            _add(made, chunk, field, counts)
    for chunk, definition in enumerate(found, 1):
        _add(made, chunk, Field.NAME, _hashed(Counter([definition.name])))
        scope = definition.qualified.split(".")[:-1]
        _add(made, chunk, Field.SCOPE, _hashed(Counter(scope)))
        _add(made, chunk, Field.DEFINED, Counter([exact(definition.name)]))
    return made


def to_blob(made: Counted) -> tuple[bytes, str]:
    """Bytes and text that `from_blob` (in corpus) reads: the arrays, then what has names."""
    size = len(made.terms).to_bytes(4, "little")
    arrays = (made.terms, made.chunks, made.fields, made.counts)
    told = json.dumps([made.places, made.imports], separators=(",", ":"))
    return size + b"".join(part.tobytes() for part in arrays), f"{len(made.places)}|{told}"


@lru_cache(maxsize=400_000)
def hashes(word: str) -> tuple[int, ...]:
    """The terms of a word (see memory.journal.words), hashed."""
    return tuple(zlib.crc32(term.encode()) for term in terms(word))


def exact(name: str) -> int:
    """A name as it is written, hashed; unlike any term's."""
    return zlib.crc32(b"=" + name.encode("utf-8", "replace"))


def _outermost(found: Sequence[Definition]) -> list[Definition]:
    """Without what is defined inside functions: that belongs to them."""
    kept: list[Definition] = []
    end = 0
    for definition in found:
        if definition.first > end:
            kept.append(definition)
            if definition.kind != "class":
                end = definition.last
    return kept


def _places(found: Sequence[Definition]) -> tuple[tuple[str, str, int, int], ...]:
    return tuple((d.qualified, d.kind, d.first, d.last) for d in found)


def _imports(text: str) -> tuple[str, ...]:
    pairs = (match.group(1) or match.group(2) for match in _IMPORT.finditer(text))
    return tuple(dict.fromkeys(pairs))[:_MOST_IMPORTS]


def _owned(lines: Sequence[str], found: Sequence[Definition]) -> Iterator[str]:
    """The text of the module's rest, then of each definition; inner ones have their own."""
    owner = [0] * (len(lines) + 1)
    for chunk, definition in enumerate(found, 1):
        last = min(definition.last, len(lines))
        owner[definition.first : last + 1] = [chunk] * (last + 1 - definition.first)
    texts: list[list[str]] = [[] for _ in range(len(found) + 1)]
    for line, chunk in zip(lines, owner[1:], strict=True):
        texts[chunk].append(line)
    return ("\n".join(part) for part in texts)


def _by_field(text: str) -> dict[Field, Counter[int]]:
    pieces = _LEXEME.split(text)
    code = "\n".join(pieces[::2])
    docs: list[str] = []
    strings: list[str] = []
    for lexeme in pieces[1::2]:
        is_doc = lexeme.startswith(('"""', "'''", "#", "//", "/*"))
        (docs if is_doc else strings).append(lexeme)
    return {
        Field.CODE: _hashed(Counter(_WORD.findall(code))),
        Field.DOC: _hashed(Counter(_WORD.findall("\n".join(docs)))),
        Field.STRING: _hashed(Counter(_WORD.findall("\n".join(strings)))),
        Field.CALLED: Counter(exact(name) for name in _CALLED.findall(code)),
    }


def _hashed(words: Counter[str]) -> Counter[int]:
    found: Counter[int] = Counter()
    for word, count in words.items():
        if len(word) <= _LONGEST_WORD:
            for term in hashes(word):
                found[term] += count
    return found


def _add(made: Counted, chunk: int, field: Field, counts: Counter[int]) -> None:
    made.terms.extend(counts)
    made.chunks.extend([chunk] * len(counts))
    made.fields.extend([int(field)] * len(counts))
    made.counts.extend(min(count, _MOST_COUNTED) for count in counts.values())
