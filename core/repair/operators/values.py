"""Values: slices, wrapped and unwrapped calls, clamps, empty literals, returned values."""

import ast
from collections.abc import Iterator

from evo_agent.core.repair.operators.site import Operator, Proposal, Site


def unwrap_call(site: Site) -> Iterator[Proposal]:
    """`f(x)` becomes `x`."""
    node = site.node
    if not isinstance(node, ast.Call) or len(node.args) != 1 or node.keywords:
        return
    if not isinstance(node.args[0], ast.Starred) and not isinstance(site.parent, ast.Expr):
        yield site.put(node, site.text(node.args[0]))


def add_slice(site: Site) -> Iterator[Proposal]:
    """`items` becomes `items[1:]`, `items[n:]` and the like."""
    node = site.node
    if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
        return
    holds = isinstance(site.parent, ast.Call) and node in site.parent.args
    if not holds and not isinstance(site.parent, ast.For | ast.comprehension | ast.Return):
        return
    for bounds in ("1:", ":-1"):
        yield site.swap(node, f"{node.id}[{bounds}]")
    for name in site.variables:
        if name != node.id:
            yield site.swap(node, f"{node.id}[{name}:]", 0.7)
            yield site.swap(node, f"{node.id}[:{name}]", 0.6)


def change_slice(site: Site) -> Iterator[Proposal]:
    """A bound of a slice goes, or moves from one side to the other."""
    node = site.node
    if not isinstance(node, ast.Slice) or node.step:
        return
    lower = site.text(node.lower) if node.lower else ""
    upper = site.text(node.upper) if node.upper else ""
    for new in (
        f":{lower}" if not upper else f"{lower}:",
        f"{upper}:" if not lower else f":{upper}",
    ):
        if new not in (":", f"{lower}:{upper}"):
            yield site.swap(node, new)


def clamp(site: Site) -> Iterator[Proposal]:
    """`best = x` becomes `best = max(best, x)`; `x` becomes `max(0, x)`."""
    node = site.node
    if not isinstance(node, ast.expr) or isinstance(node, ast.Constant):
        return
    parent = site.parent
    if isinstance(parent, ast.Assign) and parent.value is node and len(parent.targets) == 1:
        target = site.text(parent.targets[0])
    elif isinstance(parent, ast.Return):
        target = ""
    else:
        return
    text = site.text(node)
    for name in ("max", "min"):
        if target and isinstance(parent, ast.Assign) and not isinstance(node, ast.List | ast.Dict):
            yield site.swap(node, f"{name}({target}, {text})")
        yield site.swap(node, f"{name}(0, {text})", 0.9)


def fill_literal(site: Site) -> Iterator[Proposal]:
    """`[]` becomes `[x]` or `[[]]`; also for tuples."""
    node = site.node
    if not isinstance(node, ast.List | ast.Tuple) or node.elts:
        return
    opening, closing = ("[", "]") if isinstance(node, ast.List) else ("(", ",)")
    yield site.swap(node, f"{opening}{site.text(node)}{closing}")
    for name in site.variables:
        yield site.swap(node, f"{opening}{name}{closing}")


def return_value(site: Site) -> Iterator[Proposal]:
    """A function returns another variable than it does."""
    node = site.node
    if not isinstance(node, ast.expr) or not isinstance(site.parent, ast.Return):
        return
    if not isinstance(node, ast.Name):
        for name in site.variables:
            yield site.swap(node, name)


def assign_instead(site: Site) -> Iterator[Proposal]:
    """`x.update(y)` becomes `x = y`: the variable should have been bound anew."""
    node = site.node
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return
    call = node.value
    if isinstance(call.func, ast.Attribute) and len(call.args) == 1 and not call.keywords:
        yield site.swap(node, f"{site.text(call.func.value)} = {site.text(call.args[0])}")


OPERATORS = (
    Operator("fill-literal", 0.4, fill_literal),
    Operator("unwrap-call", 0.4, unwrap_call),
    Operator("change-slice", 0.4, change_slice),
    Operator("add-slice", 0.35, add_slice),
    Operator("clamp", 0.3, clamp),
    Operator("return-value", 0.3, return_value),
    Operator("assign-instead", 0.2, assign_instead),
)
