"""A Python file of the repository, parsed once: exact positions, parents, names in scope.

The file is hostile. It is only parsed, never compiled or imported, within a size limit, and
whatever the parser raises on it means "not a file that can be repaired".
"""

import ast
import warnings
from collections.abc import Iterator
from functools import cached_property

from evo_agent.core.repair.edits import Edit

MAX_BYTES = 400_000
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class UnparsableError(ValueError):
    """The text is not Python that can be parsed here, or is too large."""


def parse(data: bytes) -> ast.Module:
    """Parse source within bounds.

    Raises:
        UnparsableError: too large, not UTF-8, not Python of this version, nested too deep.
    """
    if len(data) > MAX_BYTES:
        raise UnparsableError(f"larger than {MAX_BYTES} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(data.decode("utf-8"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnparsableError(str(error)) from error


class Source:
    """A parsed file.

    Args:
        path: relative to the workspace's root.
        data: its bytes.

    Raises:
        UnparsableError: see `parse`.
    """

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.data = data
        self.tree = parse(data)
        self._starts = [0]
        for line in data.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """Every node's parent."""
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def module_names(self) -> tuple[str, ...]:
        """Variables bound at module level, in order."""
        return tuple(dict.fromkeys(_bound(self.tree)))

    @cached_property
    def functions(self) -> tuple[FunctionNode, ...]:
        """Every function of the file, outer ones first."""
        return tuple(n for n in ast.walk(self.tree) if isinstance(n, FunctionNode))

    def offset(self, line: int, column: int) -> int:
        """Byte offset of a position as `ast` gives it (line from 1, UTF-8 column from 0)."""
        return self._starts[line - 1] + column

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """First byte and the byte after the last."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self.offset(node.lineno, node.col_offset)
        return start, self.offset(node.end_lineno, node.end_col_offset)

    def text(self, node: ast.expr | ast.stmt) -> str:
        """The node as it is written."""
        start, end = self.span(node)
        return self.data[start:end].decode("utf-8")

    def replace(self, node: ast.expr | ast.stmt, text: str) -> Edit:
        """Put `text` where the node stands."""
        return Edit(self.path, *self.span(node), text)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """Parent, its parent, … up to the module."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def statement(self, node: ast.AST) -> ast.stmt | None:
        """The innermost statement that holds the node."""
        for candidate in (node, *self.ancestors(node)):
            if isinstance(candidate, ast.stmt):
                return candidate
        return None

    def function(self, node: ast.AST) -> FunctionNode | None:
        """The innermost function that holds the node (the node itself left out)."""
        return next((a for a in self.ancestors(node) if isinstance(a, FunctionNode)), None)

    def qualified_name(self, node: ast.AST) -> str:
        """Dotted name of the function that holds the node; empty at module level."""
        chain = [node, *self.ancestors(node)]
        named = [n.name for n in chain if isinstance(n, FunctionNode | ast.ClassDef)]
        return ".".join(reversed(named))

    def names(self, node: ast.AST) -> tuple[str, ...]:
        """Variables a name at `node` could mean, innermost scope first (module level left out)."""
        found: dict[str, None] = {}
        for scope in self.ancestors(node):
            if isinstance(scope, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
                found |= dict.fromkeys(n for g in scope.generators for n in _stored(g.target))
            elif isinstance(scope, SCOPES):
                found |= dict.fromkeys(_parameters(scope))
                if not isinstance(scope, ast.Lambda):
                    found |= dict.fromkeys(_bound(scope))
        return tuple(found)

    def enclosing_text(self, line: int) -> tuple[int, int]:
        """Byte range of the top-level statement around a line, to check an edit cheaply."""
        for node in self.tree.body:
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            if first <= line <= (node.end_lineno or node.lineno):
                return self._starts[first - 1], self._starts[node.end_lineno or node.lineno]
        return 0, len(self.data)


def _parameters(function: FunctionNode | ast.Lambda) -> Iterator[str]:
    arguments = function.args
    for arg in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        yield arg.arg
    for rest in (arguments.vararg, arguments.kwarg):
        if rest is not None:
            yield rest.arg


def _bound(scope: ast.AST) -> Iterator[str]:
    """Names that statements of the scope bind, nested functions' and comprehensions' left out."""
    pending = list(ast.iter_child_nodes(scope))
    while pending:
        node = pending.pop(0)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        inner = (*SCOPES, ast.ClassDef, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
        if not isinstance(node, inner):
            pending.extend(ast.iter_child_nodes(node))


def _stored(target: ast.AST) -> Iterator[str]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name):
            yield node.id
