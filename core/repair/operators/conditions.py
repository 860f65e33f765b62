"""Conditions: negation, connectives, missing or superfluous parts, None guards."""

import ast
from collections.abc import Iterator

from evo_agent.core.repair.operators.site import Operator, Proposal, Site


def _is_condition(site: Site) -> bool:
    parent = site.parent
    if isinstance(parent, ast.If | ast.While | ast.IfExp | ast.Assert):
        return parent.test is site.node
    return isinstance(parent, ast.comprehension) and site.node in parent.ifs


def boolean_operator(site: Site) -> Iterator[Proposal]:
    """`and` becomes `or`, and the other way round."""
    if not isinstance(site.node, ast.BoolOp):
        return
    words = ("and", "or") if isinstance(site.node.op, ast.And) else ("or", "and")
    pairs = zip(site.node.values, site.node.values[1:], strict=False)
    edits = [site.between(left, right, *words) for left, right in pairs]
    found = tuple(e for e in edits if e is not None)
    if found and len(found) == len(edits):
        yield Proposal(found)


def negate(site: Site) -> Iterator[Proposal]:
    """A condition becomes its opposite."""
    node = site.node
    if isinstance(node, ast.expr) and not isinstance(node, ast.UnaryOp) and _is_condition(site):
        yield site.swap(node, f"not {site.operand(node)}")


def drop_not(site: Site) -> Iterator[Proposal]:
    """`not x` becomes `x`."""
    if isinstance(site.node, ast.UnaryOp) and isinstance(site.node.op, ast.Not):
        yield site.swap(site.node, site.operand(site.node.operand))


def guard_none(site: Site) -> Iterator[Proposal]:
    """`x.a is None` becomes `x is None or x.a is None`: what is looked into may be missing."""
    if not isinstance(site.node, ast.expr) or not _is_condition(site):
        return
    bases = {
        site.text(n.value): None
        for n in ast.walk(site.node)
        if isinstance(n, ast.Attribute | ast.Subscript) and isinstance(n.ctx, ast.Load)
    }
    for base in bases:
        text = _joined(site, site.node)
        yield site.swap(site.node, f"{base} is None or {text}")
        yield site.swap(site.node, f"{base} is not None and {text}")


def _joined(site: Site, node: ast.expr) -> str:
    loose = isinstance(node, ast.BoolOp | ast.IfExp | ast.Lambda)
    return f"({site.text(node)})" if loose else site.text(node)


def extend_condition(site: Site) -> Iterator[Proposal]:
    """`c` becomes `c or not v`, `c and v`, … for the variables in scope."""
    if not isinstance(site.node, ast.expr) or not _is_condition(site):
        return
    text = _joined(site, site.node)
    for place, name in enumerate(site.variables):
        weight = 1.0 - 0.03 * place
        yield site.swap(site.node, f"{text} or not {name}", weight)
        yield site.swap(site.node, f"{text} and {name}", weight)
        yield site.swap(site.node, f"{text} or {name} is None", weight * 0.7)
        yield site.swap(site.node, f"{text} or {name}", weight * 0.5)
        yield site.swap(site.node, f"{text} and not {name}", weight * 0.5)


def endless_loop(site: Site) -> Iterator[Proposal]:
    """`while True` becomes `while v`."""
    if isinstance(site.node, ast.Constant) and isinstance(site.parent, ast.While):
        for name in site.variables:
            yield site.swap(site.node, name)
            yield site.swap(site.node, f"not {name}", 0.6)


def boolean_constant(site: Site) -> Iterator[Proposal]:
    """`True` becomes `False`, and the other way round."""
    if isinstance(site.node, ast.Constant) and isinstance(site.node.value, bool):
        yield site.swap(site.node, str(not site.node.value))


def return_condition(site: Site) -> Iterator[Proposal]:
    """`return True` becomes `return v == 0`, `return not v` and the like."""
    node = site.node
    if not (isinstance(node, ast.Constant) and isinstance(node.value, bool)):
        return
    if not isinstance(site.parent, ast.Return):
        return
    for name in site.variables:
        yield site.swap(node, f"{name} == 0")
        yield site.swap(node, f"not {name}", 0.9)
        yield site.swap(node, f"bool({name})", 0.6)
        yield site.swap(node, f"{name} is None", 0.5)


OPERATORS = (
    Operator("boolean-operator", 0.8, boolean_operator),
    Operator("drop-not", 0.7, drop_not),
    Operator("negate-condition", 0.65, negate),
    Operator("flip-boolean", 0.6, boolean_constant),
    Operator("guard-none", 0.5, guard_none),
    Operator("while-variable", 0.45, endless_loop),
    Operator("return-condition", 0.35, return_condition),
    Operator("extend-condition", 0.28, extend_condition),
)
