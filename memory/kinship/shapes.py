"""What a diff says of itself without its sources: which functions it touches, of what shape it is.

A hunk's header names the definition that stands above it, and the lines of a hunk name those
that begin inside it; so most functions are known without parsing a file. The shape of an edit is
what is left of it when names, numbers and strings are taken out: kinds of statements added,
removed and replaced, as repair templates have them (Kim et al., PAR, ICSE 2013).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from evo_agent.memory.history.messages import is_test

MOST_LINES = 5_000  # of a diff that are looked at
MOST_FUNCTIONS = 100
_LONGEST_LINE = 500  # characters; longer ones are data
_MODIFIER = (
    r"(?:async|public|private|protected|static|final|abstract|export|default|pub|unsafe|inline)"
)
_DEFINITION = re.compile(
    rf"^(?P<indent>[ \t]*)(?:{_MODIFIER}[ \t]+){{0,5}}"
    r"(?:def|class|func|fn|function|struct|impl|interface|trait|enum)[ \t]+"
    r"(?:\([^)]{0,100}\)[ \t]*)?(?P<name>\w{1,200})"
    r"(?=[ \t]*(?:[(:<{\[=]|$|extends\b|implements\b|for\b))"  # prose has "class or" too
)
_MAYBE = re.compile("def |class |func |fn |function |struct |impl |interface |trait |enum ")
_CALLED = re.compile(r"(?P<name>\w{1,200})[ \t]*\([^;]*$")  # a header of Java or C
_STATEMENT = re.compile(
    r"(if|elif|else|for|while|try|except|finally|with|return|raise|import|from|def|class|assert"
    r"|yield|del|pass|continue|break|global|lambda|catch|throw|throws|switch|case|func|fn|let|const|var)\b"
)
_KINDS = {"elif": "if", "from": "import", "func": "def", "fn": "def", "catch": "except",
          "throw": "raise", "let": "assign", "const": "assign", "var": "assign"}  # fmt: skip
_ASSIGN = re.compile(r"[\w.\[\]'\", *]{1,120}?[-+*/|&^%@]?=(?!=)")
_CALL = re.compile(r"[\w.]{1,120}\(")

Function = tuple[str, str]  # path, and the definition's own name


@dataclass(frozen=True, slots=True)
class Touched:
    """What a diff touches, tests and production code apart.

    Attributes:
        functions: (path, name) of definitions that hold a changed line, outermost name lost.
        shape: kinds of statements outside of tests, each once, sorted: "+if" was added, "-if"
            removed, "~if" replaced. Empty when only text, or nothing, changed.
    """

    functions: tuple[Function, ...]
    shape: tuple[str, ...]


def touched(patch: str) -> Touched:
    """Read a unified diff of git; a diff that is cut off gives what it still shows."""
    functions: dict[Function, None] = {}
    signs: dict[str, set[str]] = {}
    test: dict[str, bool] = {}
    for path, name, line in _changed_lines(patch):
        if name and len(functions) < MOST_FUNCTIONS:
            functions.setdefault((path, name))
        if path not in test:
            test[path] = is_test(path)
        kind = "" if test[path] else statement(line[1:])
        if kind:
            signs.setdefault(kind, set()).add(line[0])
    shape = sorted(
        f"{'~' if len(found) > 1 else next(iter(found))}{k}" for k, found in signs.items()
    )
    return Touched(tuple(functions), tuple(shape))


def statement(line: str) -> str:
    """The kind of statement that a line of source begins; empty for comments and text."""
    text = line.strip()[:_LONGEST_LINE]
    if not text or text[0] in "#\"'*/" or text.startswith(("r'", 'r"')):
        return ""
    if text[0] == "@":
        return "decorator"
    word = _STATEMENT.match(text)
    if word:
        return _KINDS.get(word[1], word[1])
    if _ASSIGN.match(text):
        return "assign"
    return "call" if _CALL.match(text) else ""


def defined(header: str) -> str:
    """The name in a hunk's header, as git found it; empty when it names no definition."""
    header = header[:_LONGEST_LINE]
    found = _DEFINITION.match(header) or _CALLED.search(header)
    return found["name"] if found else ""


def _changed_lines(patch: str) -> Iterator[tuple[str, str, str]]:
    """(path, name of the definition around it, line with its sign) of each changed line."""
    path, name, indent = "", "", -1
    in_hunk = False
    for line in patch.split("\n", MOST_LINES)[:MOST_LINES]:
        sign = line[:1]
        if sign == "@" and line.startswith("@@ "):
            name, indent, in_hunk = defined(line.split(" @@ ", 1)[-1]), -1, True
        elif in_hunk and sign and sign in "+- ":
            text = line[1:_LONGEST_LINE]
            if text and not text.isspace():
                name, indent = _around(text, name, indent)
                if sign != " ":
                    yield path, name, line
        elif sign == "d" and line.startswith("diff --git "):
            path, in_hunk = "", False
        elif not in_hunk:
            path = _named(line) or path


def _around(text: str, name: str, indent: int) -> tuple[str, int]:
    """The definition that a line stands in, given the one that the line before stood in."""
    if _MAYBE.search(text):
        found = _DEFINITION.match(text)
        if found:
            return found["name"], len(found["indent"])
    if not name:
        return name, indent
    bare = text.lstrip()
    if len(text) - len(bare) <= max(indent, 0) and bare[0] not in ")]}#":
        return "", -1
    return name, indent


def _named(line: str) -> str:
    if line.startswith(("+++ b/", "--- a/")):
        return line[6:].split("\t", 1)[0]
    return ""
