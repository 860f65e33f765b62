"""A good lexical search over a Python tree at one commit: the arm without history.

BM25F over paths, names of definitions and code; BM25 over functions; imports; likeness of names.
Definitions are found by their indentation, which also works for Python 2.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from evo_agent.memory.journal.words import terms

K1, B = 1.2, 0.75  # BM25's usual constants
NAME, PATH = 3.0, 4.0  # weights of the fields, code being 1
PSEUDO = 40  # terms of a source that stand for it
_DEFINITION = re.compile(r"^([ \t]*)(?:async[ \t]+)?(def|class)[ \t]+(\w+)")
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(\.*)([\w.]*)[ \t]+import[ \t]+\(?([\w, \t.]*)|import[ \t]+([\w., \t]+))",
    re.MULTILINE,
)
_NOISE = frozenset({"test", "tests", "testing", "init", "py", "lib", "src"})
_LARGEST = 400_000  # bytes of a source that are read

Scores = dict[str, float]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A definition, without those inside it."""

    name: str
    qualified: str
    function: bool
    first: int
    last: int
    words: Counter[str]


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed file."""

    words: Counter[str]
    names: Counter[str]
    chunks: tuple[Chunk, ...]
    imports: tuple[tuple[int, str], ...]  # dots in front, dotted name
    length: int

    def around(self, line: int) -> str:
        """The qualified name of the function that a line stands in; empty outside of any."""
        inside = [c for c in self.chunks if c.function and c.first <= line <= c.last]
        return inside[-1].qualified if inside else ""


def parse(data: bytes) -> Source:
    text = data[:_LARGEST].decode("utf-8", "replace")
    lines = text.split("\n")
    opened: list[tuple[int, str, bool, int, list[str]]] = []
    chunks: list[Chunk] = []
    module: list[str] = []

    def close(last: int) -> None:
        _, qualified, function, first, body = opened.pop()
        words = Counter(terms("\n".join(body)))
        chunks.append(Chunk(qualified.rpartition(".")[2], qualified, function, first, last, words))

    for number, line in enumerate(lines, 1):
        found = _DEFINITION.match(line)
        stripped = line.strip()
        indent = len(line) - len(line.lstrip())
        if found or (stripped and stripped[0] not in "#)]}\"'"):
            while opened and opened[-1][0] >= indent:
                close(number - 1)
        if found:
            outer = f"{opened[-1][1]}." if opened else ""
            opened.append((indent, outer + found[3], found[2] == "def", number, []))
        (opened[-1][4] if opened else module).append(line)
    while opened:
        close(len(lines))
    chunks.sort(key=lambda c: c.first)
    words = Counter(terms("\n".join(module)))
    for chunk in chunks:
        words.update(chunk.words)
    names = Counter(terms(" ".join(c.name for c in chunks)))
    return Source(words, names, tuple(chunks), _imports(text), sum(words.values()))


def _imports(text: str) -> tuple[tuple[int, str], ...]:
    found: set[tuple[int, str]] = set()
    for dots, module, names, plain in _IMPORT.findall(text):
        if plain:
            found.update((0, part.split()[0]) for part in plain.split(",") if part.split())
            continue
        found.add((len(dots), module))
        for part in names.split(","):
            if part.split():
                found.add((len(dots), f"{module}.{part.split()[0]}".strip(".")))
    return tuple(sorted(found))


@lru_cache(maxsize=100_000)
def module_of(path: str) -> str:
    parts = list(PurePosixPath(path).with_suffix("").parts)
    if parts[0] in ("src", "lib") and len(parts) > 1:
        del parts[0]
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return ".".join(parts)


@lru_cache(maxsize=100_000)
def path_words(path: str) -> Counter[str]:
    return Counter(word for word in terms(path.replace("/", " ")) if word not in _NOISE)


@lru_cache(maxsize=100_000)
def stem_words(path: str) -> frozenset[str]:
    pure = PurePosixPath(path)
    own = pure.parent.name if pure.stem in ("__init__", "tests", "test") else pure.stem
    return frozenset(w for w in terms(own.replace("_", " ")) if w not in _NOISE)


@lru_cache(maxsize=100_000)
def folder_words(path: str) -> frozenset[str]:
    return frozenset(w for part in PurePosixPath(path).parts[:-1] for w in terms(part)) - _NOISE


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one and other else 0.0


class Tree:
    """Sources of one commit, by path, with document frequencies; moved from commit to commit."""

    def __init__(self) -> None:
        self.files: dict[str, Source] = {}
        self.holding: Counter[str] = Counter()
        self.total = 0

    def move(self, files: Mapping[str, Source]) -> None:
        """Stand at another commit; what both have is not counted again."""
        for path in self.files.keys() - files.keys():
            self._drop(self.files[path])
        for path, source in files.items():
            before = self.files.get(path)
            if before is not source:
                if before is not None:
                    self._drop(before)
                self.holding.update(source.words.keys())
                self.total += source.length
        self.files = dict(files)

    def _drop(self, source: Source) -> None:
        self.holding.subtract(source.words.keys())
        self.total -= source.length

    def information(self, word: str) -> float:
        """Inverse document frequency."""
        holding = max(0, self.holding.get(word, 0))
        return math.log(1 + (len(self.files) - holding + 0.5) / (holding + 0.5))

    def bm25f(self, query: Mapping[str, float]) -> Scores:
        """BM25F of every file that holds a word of the query."""
        information = {word: self.information(word) * w for word, w in query.items()}
        mean = self.total / max(1, len(self.files)) or 1.0
        found: Scores = {}
        for path, source in self.files.items():
            in_path = path_words(path)
            shared = query.keys() & source.words.keys() | query.keys() & in_path.keys()
            if not shared:
                continue
            norm = 1 - B + B * source.length / mean
            score = 0.0
            for word in shared:
                tf = source.words[word] / norm + NAME * source.names[word] + PATH * in_path[word]
                score += information[word] * tf * (K1 + 1) / (K1 + tf)
            found[path] = score
        return found

    def chunks(self, query: Mapping[str, float]) -> dict[tuple[str, str], float]:
        """BM25 of every definition, its name counting more; by path and qualified name."""
        information = {word: self.information(word) * w for word, w in query.items()}
        asked = query.keys()
        found: dict[tuple[str, str], float] = {}
        for path, source in self.files.items():
            if not asked & source.words.keys():
                continue
            for chunk in source.chunks:
                shared = asked & chunk.words.keys()
                if shared:
                    named = _name_words(chunk.qualified)
                    score = sum(
                        information[w] * (1 + math.log(chunk.words[w]) + NAME * (w in named))
                        for w in shared
                    )
                    found[path, chunk.qualified] = score / (1 + 0.1 * math.log1p(len(chunk.words)))
        return found

    def standing_for(self, words: Iterable[tuple[str, int]]) -> dict[str, float]:
        """The terms that tell most of a text, as a query."""
        rated = {w: (1 + math.log(n)) * self.information(w) for w, n in words}
        best = sorted(rated, key=lambda w: (-rated[w], w))[:PSEUDO]
        return dict.fromkeys(best, 1.0)

    def importing(self, path: str) -> frozenset[str]:
        """Dotted names that a file imports, relative ones resolved."""
        return _resolved(path, self.files[path].imports)


@lru_cache(maxsize=100_000)
def _name_words(qualified: str) -> frozenset[str]:
    return frozenset(terms(qualified.replace(".", " ")))


@lru_cache(maxsize=50_000)
def _resolved(path: str, imports: tuple[tuple[int, str], ...]) -> frozenset[str]:
    package = [p for p in PurePosixPath(path).parts[:-1] if p not in ("src", "lib")]
    found = set()
    for dots, name in imports:
        base = package[: len(package) - dots + 1] if dots else []
        found.add(".".join((*base, name)).strip("."))
    return frozenset(found)


def imported(tree: Tree, path: str, module: str) -> float:
    """1 when a file imports a module or something of it, .3 for the package around it."""
    names = tree.importing(path)
    if module in names:
        return 1.0
    return 0.3 if module.rpartition(".")[0] in names else 0.0
