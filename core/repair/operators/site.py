"""What an operator sees (a node in its file) and what it answers (proposals)."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from evo_agent.core.repair.edits import Edit
from evo_agent.core.repair.source import Source

BINDING = (
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
    ast.Attribute,
    ast.Await,
    ast.Starred,
)
MAX_NAMES = 12  # variables in scope that are tried, nearest scope first


@dataclass(frozen=True, slots=True)
class Proposal:
    """One way to change a node.

    Attributes:
        edits: the change.
        weight: how likely, relative to the operator's other proposals.
        deletes: whether it takes behaviour away.
    """

    edits: tuple[Edit, ...]
    weight: float = 1.0
    deletes: bool = False


@dataclass(frozen=True)
class Site:
    """A node that may be changed.

    Args:
        source: its file.
        node: the node.
    """

    source: Source
    node: ast.AST

    @cached_property
    def parent(self) -> ast.AST | None:
        """The node's parent; None for the module."""
        return self.source.parents.get(self.node)

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Names in scope, innermost first, bounded."""
        return self.source.names(self.node)[:MAX_NAMES]

    def text(self, node: ast.expr | ast.stmt) -> str:
        """A node as it is written."""
        return self.source.text(node)

    def swap(
        self, node: ast.expr | ast.stmt, text: str, weight: float = 1.0, *, deletes: bool = False
    ) -> Proposal:
        """Put an atom (name, call, literal, …) where a node stands."""
        return Proposal((self.source.replace(node, text),), weight, deletes)

    def put(self, node: ast.expr, text: str, weight: float = 1.0) -> Proposal:
        """Put a compound expression where a node stands, in parentheses where they are needed."""
        if self._binds(node) and not self._bracketed(node):
            text = f"({text})"
        return Proposal((self.source.replace(node, text),), weight)

    def operand(self, node: ast.expr) -> str:
        """A node's text, fit to stand beside an operator."""
        text = self.text(node)
        loose = (ast.BoolOp, ast.Compare, ast.IfExp, ast.Lambda, ast.BinOp, ast.UnaryOp)
        return f"({text})" if isinstance(node, loose) else text

    def exchange(self, one: ast.expr, other: ast.expr, weight: float = 1.0) -> Proposal:
        """Put each of two nodes in the other's place."""
        replace = self.source.replace
        edits = (replace(one, self.text(other)), replace(other, self.text(one)))
        return Proposal(edits, weight)

    def between(self, left: ast.expr, right: ast.expr, old: str, new: str) -> Edit | None:
        """Replace an operator's token that stands between two nodes; None if it is not found."""
        start, end = self.source.span(left)[1], self.source.span(right)[0]
        gap = self.source.data[start:end]
        at = gap.find(old.encode())
        if at < 0 or b"#" in gap[:at]:
            return None
        return Edit(self.source.path, start + at, start + at + len(old.encode()), new)

    def _binds(self, node: ast.expr) -> bool:
        parent = self.source.parents.get(node)
        if isinstance(parent, ast.Subscript):
            return parent.value is node
        if isinstance(parent, ast.Call):
            return parent.func is node
        return isinstance(parent, BINDING)

    def _bracketed(self, node: ast.expr) -> bool:
        start, end = self.source.span(node)
        data = self.source.data
        return data[start - 1 : start] == b"(" and data[end : end + 1] == b")"


@dataclass(frozen=True, slots=True)
class Operator:
    """A kind of edit.

    Attributes:
        name: stable; recorded in episodes, so never renamed.
        prior: how often it is right, relative to the others (0 to 1). The order follows the
            frequencies of single-statement bugs in Karampatsis and Sutton, "How Often Do
            Single-Statement Bugs Occur?" (MSR 2020) and Kamienski et al., "PySStuBs" (MSR
            2021); the numbers are round.
        propose: the edits it has for a site.
    """

    name: str
    prior: float
    propose: Callable[[Site], Iterator[Proposal]]
