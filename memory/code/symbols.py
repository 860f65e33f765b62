"""The functions, methods and classes of a source file, by tree-sitter.

Sources are hostile: their size, depth and the time for them are bounded, and nothing here
recurses, so that neither a deep tree nor a broken one costs more than its definitions.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evo_agent.memory.code.grammars import FUNCTION_VALUES, Grammar, Kind, grammar, language_of

if TYPE_CHECKING:
    from tree_sitter import Node, Tree, TreeCursor

VERSION = 1  # of what a parse yields; what is cached of it is made anew when it changes
LARGEST = 1 << 20  # bytes; larger sources are generated, or data
SECONDS = 2.0  # of processor time for one source: error recovery can be made quadratic
DEEPEST = 200  # levels of the tree that are looked into
MOST = 20_000  # definitions of a source
_LONGEST_NAME = 200  # characters
_DEEPEST_NAME = 20  # definitions around one that its qualified name tells
_READ = 1 << 16  # bytes that the parser is given at a time
_CLOCK = 1 << 12  # nodes between two looks at the clock
_OPENED = 500  # brackets open at once; beyond, tree-sitter 0.26.1 was seen to crash (Java)
_NO_BRACKET = bytes(set(range(256)) - set(b"()[]{}"))
_WORD = re.compile(rb"[^\W\d]\w*")

Lines = tuple[int, int]  # first and last, from 1


@dataclass(frozen=True, slots=True)
class Definition:
    """A function, method or class.

    Attributes:
        name: its own name.
        qualified: with those of the definitions around it, joined by dots (`Class.method`).
        kind: function, class or method.
        first: first line, from 1, decorators and annotations included.
        last: last line.
        doc: lines of its docstring, or of the comment right above it; None without one.
    """

    name: str
    qualified: str
    kind: Kind
    first: int
    last: int
    doc: Lines | None = None


@dataclass(slots=True)
class _Walk:
    """Where the walk is: the names and ends of the definitions around it, comments passed."""

    grammar: Grammar
    source: bytes
    outer: list[tuple[int, str, str]]  # last byte, name, kind ("scope" for those without one)
    comments: dict[int, int]  # last line of a comment to the first of its block, from 0


def definitions(path: str, source: bytes) -> tuple[Definition, ...]:
    """The definitions of a source file, in order of their first line, outer before inner.

    Args:
        path: its name, whose suffix tells the language.
        source: its bytes; may be broken, binary or of any size.

    Returns:
        Empty for a language that is not parsed (see `language_of`), for sources beyond LARGEST
        bytes and for those that take longer than SECONDS; then git's hunk header has to do.

    Raises:
        MissingDependencyError: tree-sitter, or the language's grammar, is not installed.
    """
    language = language_of(path)
    if not language or len(source) > LARGEST or _is_deep(source):
        return ()
    end = time.thread_time() + SECONDS
    tree = _parsed(language, source, end)
    if tree is None:
        return ()
    walk = _Walk(grammar(language)[0], source, [], {})
    found: list[Definition] = []
    for node in _nodes(tree, walk.grammar, end):
        made = _visited(node, walk)
        if made is not None:
            found.append(made)
        if len(found) == MOST:
            break
    return tuple(found) if time.thread_time() < end else ()


def _is_deep(source: bytes) -> bool:
    """Whether more brackets are open at once than anybody writes."""
    brackets = source.translate(None, _NO_BRACKET)
    opened = 0
    for bracket in brackets:
        opened = opened + 1 if bracket in b"([{" else max(0, opened - 1)
        if opened > _OPENED:
            return True
    return False


def _parsed(language: str, source: bytes, end: float) -> "Tree | None":
    from tree_sitter import Parser

    def read(offset: int, _: object) -> bytes:
        return source[offset : offset + _READ]

    def too_late(*_: object) -> bool:
        return time.thread_time() > end

    try:
        parser = Parser(grammar(language)[1])
        return parser.parse(read, encoding="utf8", progress_callback=too_late)
    except ValueError:  # what it says when it was stopped
        return None


def _nodes(tree: "Tree", known: Grammar, end: float) -> "Iterator[Node]":
    """The nodes that may be or hold definitions, in order of the source, without recursion."""
    cursor = tree.walk()
    depth = visited = 0
    while True:
        visited += 1
        if visited % _CLOCK == 0 and time.thread_time() > end:
            return
        node = cursor.node
        assert node is not None
        if node.is_named:
            yield node
        if depth < DEEPEST and _is_open(node, known) and cursor.goto_first_child():
            depth += 1
            continue
        risen = _to_next(cursor)
        if risen is None:
            return
        depth -= risen


def _is_open(node: "Node", known: Grammar) -> bool:
    return node.type in known.entered if known.entered else node.type not in known.closed


def _to_next(cursor: "TreeCursor") -> int | None:
    """Go to the next node that is not inside this one; levels risen, None at the end."""
    risen = 0
    while not cursor.goto_next_sibling():
        if not cursor.goto_parent():
            return None
        risen += 1
    return risen


def _visited(node: "Node", walk: _Walk) -> Definition | None:
    """Note a comment or a scope; make the definition that the node is, if it is one."""
    if "comment" in node.type:
        _note_comment(node, walk)
        return None
    kind = walk.grammar.kinds.get(node.type)
    scope = node.type in walk.grammar.scopes
    if (kind is None and not scope) or not _defines(node, walk.grammar):
        return None
    name = _name(node, walk)
    if not name:
        return None
    while walk.outer and walk.outer[-1][0] <= node.start_byte:
        walk.outer.pop()
    around = [outer[1] for outer in walk.outer[-_DEEPEST_NAME:]]
    inside = walk.outer[-1][2] if walk.outer else ""
    if kind is None:
        walk.outer.append((node.end_byte, name, "class"))
        return None
    if kind == "function" and inside == "class":
        kind = "method"
    receiver = _receiver(node, walk.source)
    walk.outer.append((node.end_byte, name, kind))
    first = _first_line(node)
    doc = _docstring(node) if walk.grammar.docstrings else None
    above = walk.comments.get(first - 1)
    if doc is None and above is not None:
        doc = (above + 1, first)
    qualified = ".".join([*around, *receiver, name])
    return Definition(name, qualified, kind, first + 1, _last_line(node) + 1, doc)


def _note_comment(node: "Node", walk: _Walk) -> None:
    """Remember where it ends; one right below another continues it."""
    first = node.start_point.row
    last = max(first, node.end_point.row - (node.end_point.column == 0))
    walk.comments[last] = walk.comments.get(first - 1, first)


def _defines(node: "Node", known: Grammar) -> bool:
    """Whether an assignment's or a type's value makes it a definition."""
    where = known.values.get(node.type)
    if where is None:
        return True
    value = node.child_by_field_name(where)
    if value is None:
        return False
    return value.type in FUNCTION_VALUES or value.type in ("struct_type", "interface_type")


def _name(node: "Node", walk: _Walk) -> str:
    """The last word of the field that names it: `c` of `a.b.c`, `T` of `impl<X> T<X>`."""
    named = node.child_by_field_name(walk.grammar.named_by.get(node.type, "name"))
    if named is None:
        return ""
    text = walk.source[named.start_byte : min(named.end_byte, named.start_byte + _LONGEST_NAME)]
    if node.type in walk.grammar.scopes:
        text = text.partition(b"<")[0]
    return text.rpartition(b".")[2].decode("utf-8", "replace").strip("\"'` \n\t")


def _receiver(node: "Node", source: bytes) -> tuple[str, ...]:
    """The type that a Go method belongs to."""
    receiver = node.child_by_field_name("receiver")
    if receiver is None:
        return ()
    text = source[receiver.start_byte : min(receiver.end_byte, receiver.start_byte + _LONGEST_NAME)]
    words = _WORD.findall(text.partition(b"[")[0])
    return (words[-1].decode("utf-8", "replace"),) if words else ()


def _first_line(node: "Node") -> int:
    """First line from 0, that of its decorators when it has some."""
    above = node.parent
    if above is not None and above.type in ("decorated_definition", "export_statement"):
        return above.start_point.row
    return node.start_point.row


def _last_line(node: "Node") -> int:
    """Last line from 0; a node that ends with a newline ends on the line before."""
    end = node.end_point
    return max(node.start_point.row, end.row - (end.column == 0))


def _docstring(node: "Node") -> Lines | None:
    body = node.child_by_field_name("body")
    statement = body.named_child(0) if body is not None and body.named_child_count else None
    if statement is None or statement.type != "expression_statement":
        return None
    value = statement.named_child(0) if statement.named_child_count else None
    if value is None or value.type != "string":
        return None
    return value.start_point.row + 1, _last_line(value) + 1
