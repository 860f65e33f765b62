"""Statements: inserted (from ingredients of the same function), moved out of a block, deleted."""

import ast
from collections.abc import Iterator

from evo_agent.core.repair.edits import Edit
from evo_agent.core.repair.operators.site import Operator, Proposal, Site
from evo_agent.core.repair.source import FunctionNode

ENDING = (ast.Return, ast.Raise, ast.Break, ast.Continue)
MAX_INGREDIENTS = 100


def _indentation(site: Site, statement: ast.stmt) -> str | None:
    """The white space before a statement; None when it shares its line."""
    start = site.source.offset(statement.lineno, 0)
    before = site.source.data[start : start + statement.col_offset].decode("utf-8", "replace")
    return None if before.strip() else before


def _before(site: Site, statement: ast.stmt, text: str, weight: float) -> Iterator[Proposal]:
    indentation = _indentation(site, statement)
    if indentation is not None and not getattr(statement, "decorator_list", None):
        at = site.source.span(statement)[0]
        lines = text.replace("\n", "\n" + indentation)
        yield Proposal((Edit(site.source.path, at, at, f"{lines}\n{indentation}"),), weight)


def _after(site: Site, statement: ast.stmt, text: str, weight: float) -> Iterator[Proposal]:
    indentation = _indentation(site, statement)
    if indentation is not None and not isinstance(statement, ENDING):
        at = site.source.span(statement)[1]
        rest = site.source.data[at : at + 200].split(b"\n", 1)[0]
        at += len(rest) if rest.strip().startswith(b"#") else 0
        lines = ("\n" + text).replace("\n", "\n" + indentation)
        yield Proposal((Edit(site.source.path, at, at, lines),), weight)


def _around(site: Site, text: str, weight: float = 1.0) -> Iterator[Proposal]:
    """Before the statement when it is the first of its block, and after it."""
    statement = site.node
    assert isinstance(statement, ast.stmt)
    if text == site.text(statement):
        return
    if _is_first(site, statement) or isinstance(statement, ENDING):
        yield from _before(site, statement, text, weight)
    yield from _after(site, statement, text, weight)


def _is_first(site: Site, statement: ast.stmt) -> bool:
    return any(block[:1] == [statement] for block in _blocks(site.parent))


def _blocks(node: ast.AST | None) -> list[list[ast.stmt]]:
    found = [getattr(node, name, None) for name in ("body", "orelse", "finalbody")]
    return [block for block in found if isinstance(block, list)]


def _insertable(site: Site) -> bool:
    return isinstance(site.node, ast.stmt) and site.source.function(site.node) is not None


def bookkeeping(site: Site) -> Iterator[Proposal]:
    """A collection that membership is asked of gets the element: `seen.add(x)`."""
    function = site.source.function(site.node)
    if not _insertable(site) or function is None:
        return
    asked: dict[tuple[str, str], None] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            collection = node.comparators[0]
            if isinstance(collection, ast.Name | ast.Attribute):
                asked[site.text(collection), site.text(node.left)] = None
    for holder, element in asked:
        for method in ("add", "append"):
            yield from _around(site, f"{holder}.{method}({element})")


def insert_ingredient(site: Site) -> Iterator[Proposal]:
    """A simple statement of the same function again, with one variable changed or none."""
    function = site.source.function(site.node)
    if not _insertable(site) or function is None:
        return
    found: dict[str, float] = {}
    for node in ast.walk(function):
        if _is_ingredient(site, node) and len(found) < MAX_INGREDIENTS:
            assert isinstance(node, ast.stmt)
            found |= _variants(site, node)
    for text, weight in found.items():
        yield from _around(site, text, weight)


def _is_ingredient(site: Site, node: ast.AST) -> bool:
    if not isinstance(node, ast.Expr | ast.Assign | ast.AugAssign) or _is_docstring(node):
        return False
    return "\n" not in site.text(node)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _variants(site: Site, node: ast.stmt) -> dict[str, float]:
    """The statement as it is, and with each plain argument or value replaced by a variable."""
    text, start = site.text(node).encode(), site.source.span(node)[0]
    found = {text.decode(): 0.8}
    for name in ast.walk(node):
        if isinstance(name, ast.Name) and name.id in site.variables:
            at, end = (p - start for p in site.source.span(name))
            for other in site.variables:
                if other != name.id:
                    new = text[:at] + other.encode() + text[end:]
                    found.setdefault(new.decode(), 0.7)
    return found


def insert_assignment(site: Site) -> Iterator[Proposal]:
    """`v = w` between two variables of the function."""
    if _insertable(site):
        for target in site.variables[:8]:
            for value in site.variables[:8]:
                if target != value:
                    yield from _around(site, f"{target} = {value}")


def _first_statement(function: FunctionNode) -> ast.stmt:
    after_docstring = _is_docstring(function.body[0]) and len(function.body) > 1
    return function.body[1 if after_docstring else 0]


def insert_guard(site: Site) -> Iterator[Proposal]:
    """`if not v: return …` where a function starts: a missing base case."""
    function = site.source.function(site.node)
    if function is None or site.node is not _first_statement(function):
        return
    assert isinstance(site.node, ast.stmt)
    parameters = [a.arg for a in function.args.args if a.arg not in ("self", "cls")]
    for name in parameters:
        for test in (f"not {name}", f"{name} is None"):
            for value in ("None", name, "[]", "0", "False", "True", '""'):
                yield from _before(site, site.node, f"if {test}:\n    return {value}", 1.0)


def move_out(site: Site) -> Iterator[Proposal]:
    """The last statement of a block moves behind the block: it was indented too far."""
    node = site.node
    if not isinstance(node, ast.Return | ast.Assign | ast.AugAssign | ast.Expr):
        return
    block = site.parent
    if not isinstance(block, ast.For | ast.While | ast.If | ast.With):
        return
    inside = _indentation(site, node)
    outside = _indentation(site, block)
    last_of_several = block.body[1:] and block.body[-1] is node
    if not last_of_several or getattr(block, "orelse", None):
        return
    if inside is None or outside is None or "\n" in site.text(node):
        return
    start, _ = site.source.span(node)
    yield Proposal((Edit(site.source.path, start - len(inside), start, outside),))


def delete(site: Site) -> Iterator[Proposal]:
    """A simple statement goes. Tried late, and ranked behind everything else."""
    node = site.node
    if not isinstance(node, ast.Expr | ast.Assign | ast.AugAssign | ast.Return):
        return
    if _insertable(site) and not _is_docstring(node):
        yield site.swap(node, "pass", deletes=True)


OPERATORS = (
    Operator("insert-bookkeeping", 0.45, bookkeeping),
    Operator("move-out-of-block", 0.3, move_out),
    Operator("insert-ingredient", 0.15, insert_ingredient),
    Operator("insert-assignment", 0.12, insert_assignment),
    Operator("insert-guard", 0.12, insert_guard),
    Operator("delete-statement", 0.08, delete),
)
