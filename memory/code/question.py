"""An issue taken apart: title, lead, code, tracebacks, paths. All of it is data."""

import re
from collections import Counter
from dataclasses import dataclass

from evo_agent.memory.code.lexemes import hashes

LONGEST = 40_000  # characters that are read
_LEAD = 400  # prose characters after the title that count as its lead
_LONGEST_WORD = 64  # characters
_WORD = re.compile(r"[^\W\d]\w*")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)  # what a template tells the reporter
_FENCED = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
_INLINE = re.compile(r"`([^`\n]{1,200})`")
_FRAME = re.compile(r'File "?([^"\n,]{1,300})"?,? line (\d+)(?:,? in ([\w<>.]{1,100}))?')
_GENERIC_FRAME = re.compile(r"(?:^|[\s(\[])([\w./\\-]{1,200}\.\w{1,4}):(\d+)(?::(?:in )?`?(\w*))?")
_PATH = re.compile(r"[\w.-]{1,100}+(?:[/\\][\w.-]{1,100}+)+|\b[\w-]{1,100}\.[a-z]{1,4}\b")
_DOTTED = re.compile(r"\b[^\W\d]\w{0,99}(?:\.[^\W\d]\w{0,99}){1,8}")
_IMPORTED = re.compile(
    r"^[>\s.]*(?:from\s+([\w.]+)\s+import\s+([\w, ]+)|import\s+([\w.]+))", re.MULTILINE
)
_CODE_LINE = re.compile(r"^(?:    |\t|>>> |\.\.\. ).*$", re.MULTILINE)
_NAME_LIKE = re.compile(r"[a-z0-9_][A-Z]|_|^[A-Z]\w+$")
_CALL = re.compile(r"\b([^\W\d]\w{0,99})\(")
Words = Counter[str]


@dataclass(frozen=True)
class Frame:
    """A line of a traceback."""

    path: str
    line: int
    function: str


@dataclass(frozen=True)
class Question:
    """The parts of an issue's text.

    Attributes:
        title, lead, whole: term hashes with counts.
        frames: of tracebacks, in the text's order.
        paths: with a slash or a suffix, as written.
        dotted: names with dots, as written.
        names: identifiers that stand in code, in backticks or look like code, with counts.
        title_names: identifiers of the title.
        imported: modules that the issue's code imports.
    """

    title: Counter[int]
    lead: Counter[int]
    whole: Counter[int]
    frames: tuple[Frame, ...]
    paths: tuple[str, ...]
    dotted: tuple[str, ...]
    names: Words
    title_names: Words
    imported: tuple[str, ...]


def question(text: str) -> Question:
    """Take an issue apart; its first line is the title."""
    text = _COMMENT.sub(" ", text[:LONGEST]).strip()
    title, _, body = text.partition("\n")
    code = "\n".join([*_FENCED.findall(body), *_INLINE.findall(text), *_CODE_LINE.findall(body)])
    prose = _FENCED.sub("\n", body)
    return Question(
        title=_hashed(title),
        lead=_hashed(prose.strip()[:_LEAD]),
        whole=_hashed(text),
        frames=_frames(text),
        paths=tuple(dict.fromkeys(m.replace("\\", "/") for m in _PATH.findall(text))),
        dotted=tuple(dict.fromkeys(_DOTTED.findall(text))),
        names=Counter(_WORD.findall(code)) + _code_like(text),
        title_names=Counter(_WORD.findall(title)),
        imported=_imported(text),
    )


def words(text: str) -> list[str]:
    """Words and identifiers of a text; what is longer than any is left out."""
    return [word for word in _WORD.findall(text) if len(word) <= _LONGEST_WORD]


def _hashed(text: str) -> Counter[int]:
    return Counter(term for word in words(text) for term in hashes(word))


def _frames(text: str) -> tuple[Frame, ...]:
    found = [*_FRAME.finditer(text), *_GENERIC_FRAME.finditer(text)]
    found.sort(key=lambda match: match.start())
    return tuple(Frame(m[1].replace("\\", "/"), int(m[2][:9]), m[3] or "") for m in found)


def _code_like(text: str) -> Words:
    return Counter(w for w in words(text) if _NAME_LIKE.search(w[1:])) + Counter(
        _CALL.findall(text)
    )


def _imported(text: str) -> tuple[str, ...]:
    found: list[str] = []
    for module, names, plain in _IMPORTED.findall(text):
        found += [f"{module}.{name.strip()}" for name in names.split(",")] if module else [plain]
    return tuple(dict.fromkeys(found))
