"""Comparisons: strictness, direction, boundary."""

import ast
from collections.abc import Iterator

from evo_agent.core.repair.operators.site import Operator, Proposal, Site

SYMBOLS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.In: "in",
}
STRICTNESS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
DIRECTION = {
    "<": (">", ">=", "!="),
    "<=": (">=", ">"),
    ">": ("<", "<=", "!="),
    ">=": ("<=", "<"),
    "==": ("!=", "<=", ">="),
    "!=": ("==", "<", ">"),
    "is": ("is not",),
    "in": ("not in",),
}


def _pairs(node: ast.Compare) -> Iterator[tuple[ast.expr, str, ast.expr]]:
    sides = [node.left, *node.comparators]
    for left, kind, right in zip(sides, node.ops, node.comparators, strict=False):
        symbol = SYMBOLS.get(type(kind))
        if symbol:
            yield left, symbol, right


def strictness(site: Site) -> Iterator[Proposal]:
    """`<` becomes `<=` and the like."""
    if isinstance(site.node, ast.Compare):
        for left, symbol, right in _pairs(site.node):
            if symbol in STRICTNESS:
                edit = site.between(left, right, symbol, STRICTNESS[symbol])
                if edit:
                    yield Proposal((edit,))


def direction(site: Site) -> Iterator[Proposal]:
    """`<` becomes `>`, `==` becomes `!=`, `in` becomes `not in`."""
    if isinstance(site.node, ast.Compare):
        for left, symbol, right in _pairs(site.node):
            for place, new in enumerate(DIRECTION[symbol]):
                edit = site.between(left, right, symbol, new)
                if edit:
                    yield Proposal((edit,), 1.0 / (1 + place))


def negated(site: Site) -> Iterator[Proposal]:
    """`is not` becomes `is`, `not in` becomes `in`."""
    if not isinstance(site.node, ast.Compare) or len(site.node.ops) != 1:
        return
    old = {ast.IsNot: ("is not", "is"), ast.NotIn: ("not in", "in")}.get(type(site.node.ops[0]))
    if old:
        edit = site.between(site.node.left, site.node.comparators[0], *old)
        if edit:
            yield Proposal((edit,))


def boundary(site: Site) -> Iterator[Proposal]:
    """`x == 0` becomes `x <= 1`: the operator and its constant together."""
    node = site.node
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        return
    right, symbol = node.comparators[0], SYMBOLS.get(type(node.ops[0]), "")
    if not (isinstance(right, ast.Constant) and type(right.value) is int):
        return
    if symbol in ("is", "in", ""):
        return
    for shift in (1, -1):
        for new in ("<=", ">=", "<", ">", "=="):
            edit = site.between(node.left, right, symbol, new)
            if edit and new != symbol:
                text = str(right.value + shift)
                yield Proposal((edit, site.source.replace(right, text)))


OPERATORS = (
    Operator("compare-strictness", 0.95, strictness),
    Operator("compare-direction", 0.75, direction),
    Operator("compare-negation", 0.7, negated),
    Operator("compare-boundary", 0.3, boundary),
)
