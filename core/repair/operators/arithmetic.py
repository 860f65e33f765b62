"""Arithmetic: operators, operands, constants, off-by-one."""

import ast
from collections.abc import Iterator

from evo_agent.core.repair.operators.site import Operator, Proposal, Site

SYMBOLS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
}
ARITHMETIC = {
    "+": ("-", "*"),
    "-": ("+", "%"),
    "*": ("/", "**", "+", "//"),
    "/": ("//", "*", "%"),
    "//": ("/", "%", "*"),
    "%": ("//", "-", "/"),
    "**": ("*",),
}
BITWISE = {
    "&": ("|", "^"),
    "|": ("&", "^"),
    "^": ("&", "|"),
    "<<": (">>",),
    ">>": ("<<",),
}
ADJUSTABLE = (ast.Name, ast.Attribute, ast.Subscript, ast.Call)


def _swapped(site: Site, table: dict[str, tuple[str, ...]]) -> Iterator[Proposal]:
    node = site.node
    if isinstance(node, ast.BinOp):
        left, right, suffix = node.left, node.right, ""
    elif isinstance(node, ast.AugAssign):
        left, right, suffix = node.target, node.value, "="
    else:
        return
    symbol = SYMBOLS.get(type(node.op), "")
    for place, new in enumerate(table.get(symbol, ())):
        edit = site.between(left, right, symbol + suffix, new + suffix)
        if edit:
            yield Proposal((edit,), 1.0 / (1 + place * 0.5))


def arithmetic(site: Site) -> Iterator[Proposal]:
    """`+` becomes `-` and the like, in expressions and augmented assignments."""
    yield from _swapped(site, ARITHMETIC)


def bitwise(site: Site) -> Iterator[Proposal]:
    """`^` becomes `&` and the like."""
    yield from _swapped(site, BITWISE)


def constants(site: Site) -> Iterator[Proposal]:
    """Whole numbers, one more or one less; never a value taken from a test."""
    node = site.node
    if isinstance(node, ast.Constant) and type(node.value) is int:
        for new in dict.fromkeys((node.value + 1, node.value - 1, 0, 1)):
            if new >= 0 and new != node.value:
                near = abs(new - node.value) == 1
                yield site.swap(node, str(new), 1.0 if near else 0.4)
        if isinstance(site.parent, ast.UnaryOp) and isinstance(site.parent.op, ast.USub):
            yield site.swap(site.parent, site.text(node), 0.5)
        elif node.value:
            yield site.put(node, f"-{site.text(node)}", 0.3)


def off_by_one(site: Site) -> Iterator[Proposal]:
    """An index, a bound, an argument or a compared or returned value, one more or one less."""
    node = site.node
    if not isinstance(node, ADJUSTABLE) or not _is_quantity(site, node):
        return
    if isinstance(getattr(node, "ctx", None), ast.Store | ast.Del):
        return
    for sign in ("+", "-"):
        yield site.put(node, f"{site.text(node)} {sign} 1")


def _is_quantity(site: Site, node: ast.expr) -> bool:
    parent = site.parent
    if isinstance(parent, ast.Subscript):
        return parent.slice is node
    if isinstance(parent, ast.Call):
        return node in parent.args
    if isinstance(parent, ast.Tuple):
        return isinstance(site.source.parents.get(parent), ast.Subscript)
    return isinstance(parent, ast.Slice | ast.Compare | ast.Return | ast.BinOp | ast.Assign)


def swap_operands(site: Site) -> Iterator[Proposal]:
    """`a - b` becomes `b - a`; `s + t` becomes `t + s`, which differs for sequences."""
    if isinstance(site.node, ast.BinOp) and not isinstance(site.node.op, ast.BitAnd | ast.BitOr):
        left, right = site.node.left, site.node.right
        if site.text(left) != site.text(right):
            yield site.exchange(left, right)


def drop_operand(site: Site) -> Iterator[Proposal]:
    """`1 + f(x)` becomes `f(x)`; also one side of `and` and `or`."""
    if isinstance(site.node, ast.BinOp):
        for kept in (site.node.right, site.node.left):
            yield site.put(site.node, site.text(kept), 0.6 if _constant(kept) else 1.0)
    elif isinstance(site.node, ast.BoolOp):
        word = " and " if isinstance(site.node.op, ast.And) else " or "
        for dropped in site.node.values:
            kept_values = [site.operand(v) for v in site.node.values if v is not dropped]
            proposal = site.put(site.node, word.join(kept_values), 0.5)
            yield Proposal(proposal.edits, proposal.weight, deletes=True)


def _constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant)


def extend_operand(site: Site) -> Iterator[Proposal]:
    """`k` becomes `k - n`, `rest` becomes `more + rest`: a variable in scope joins in."""
    node = site.node
    if not isinstance(node, (*ADJUSTABLE, ast.ListComp)) or not _is_quantity(site, node):
        return
    if isinstance(getattr(node, "ctx", None), ast.Store | ast.Del):
        return
    text = site.text(node)
    for place, name in enumerate(site.variables):
        weight = 1.0 - 0.03 * place
        for symbol in "-+*":
            if not (isinstance(node, ast.ListComp) and symbol != "+"):
                yield site.put(node, f"{text} {symbol} {name}", weight)
        yield site.put(node, f"{name} + {text}", weight * 0.8)


OPERATORS = (
    Operator("bitwise-operator", 0.9, bitwise),
    Operator("arithmetic-operator", 0.8, arithmetic),
    Operator("constant-off-by-one", 0.8, constants),
    Operator("expression-off-by-one", 0.6, off_by_one),
    Operator("swap-operands", 0.55, swap_operands),
    Operator("drop-operand", 0.45, drop_operand),
    Operator("extend-operand", 0.18, extend_operand),
)
