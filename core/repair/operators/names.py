"""Names: wrong variable, wrong attribute, wrong function, arguments in the wrong order."""

import ast
import difflib
from collections.abc import Iterator

from evo_agent.core.repair.operators.site import Operator, Proposal, Site

# Functions and methods that are taken for one another; each group is closed under exchange.
SIBLINGS = (
    ("any", "all"),
    ("min", "max"),
    ("append", "extend"),
    ("add", "update"),
    ("add", "remove"),
    ("add", "discard"),
    ("append", "appendleft"),
    ("pop", "popleft"),
    ("startswith", "endswith"),
    ("strip", "lstrip", "rstrip"),
    ("find", "rfind", "index"),
    ("upper", "lower"),
    ("keys", "values", "items"),
    ("floor", "ceil"),
    ("sorted", "list", "reversed"),
    ("sum", "len"),
    ("int", "float", "round"),
    ("union", "intersection", "difference"),
    ("issubset", "issuperset"),
    ("split", "rsplit"),
    ("partition", "rpartition"),
    ("get", "pop"),
    ("isinstance", "issubclass"),
    ("heappush", "heappop", "heappushpop", "heapreplace"),
)
MAX_EXPRESSIONS = 25


def replace_variable(site: Site) -> Iterator[Proposal]:
    """A variable becomes another one in scope; names that look alike first."""
    node = site.node
    if not isinstance(node, ast.Name) or _is_called(site):
        return
    if node.id not in site.variables and node.id not in site.source.module_names:
        return
    for name in site.variables:
        if name != node.id:
            yield site.swap(node, name, 0.6 + 0.4 * _alike(name, node.id))
    if isinstance(node.ctx, ast.Load):
        for name in site.source.module_names[:8]:
            if name not in site.variables and name != node.id:
                yield site.swap(node, name, 0.4 + 0.3 * _alike(name, node.id))


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _is_called(site: Site) -> bool:
    return isinstance(site.parent, ast.Call) and site.parent.func is site.node


def replace_attribute(site: Site) -> Iterator[Proposal]:
    """An attribute becomes another one that the file uses; names that look alike first."""
    node = site.node
    if not isinstance(node, ast.Attribute):
        return
    called = _is_called(site)
    seen = dict.fromkeys(
        n.attr
        for n in ast.walk(site.source.tree)
        if isinstance(n, ast.Attribute) and _called(site, n) == called
    )
    ranked = sorted(seen, key=lambda name: -_alike(name, node.attr))[:10]
    for name in ranked:
        if name != node.attr:
            text = f"{site.text(node.value)}.{name}"
            yield site.swap(node, text, 0.5 + 0.5 * _alike(name, node.attr))


def _called(site: Site, node: ast.expr) -> bool:
    parent = site.source.parents.get(node)
    return isinstance(parent, ast.Call) and parent.func is node


def sibling_function(site: Site) -> Iterator[Proposal]:
    """`any` becomes `all`, `min` becomes `max`, `append` becomes `extend` (SIBLINGS)."""
    node = site.node
    if not _is_called(site) or not isinstance(node, ast.Name | ast.Attribute):
        return
    name = node.id if isinstance(node, ast.Name) else node.attr
    for group in SIBLINGS:
        for other in group if name in group else ():
            if other != name:
                prefix = f"{site.text(node.value)}." if isinstance(node, ast.Attribute) else ""
                yield site.swap(node, prefix + other)


def replace_function(site: Site) -> Iterator[Proposal]:
    """A called function becomes another one of the same file."""
    node = site.node
    if not _is_called(site) or not isinstance(node, ast.Name):
        return
    for function in site.source.functions[:20]:
        if function.name != node.id and not function.name.startswith("__"):
            yield site.swap(node, function.name, 0.4 + 0.6 * _alike(function.name, node.id))


def swap_arguments(site: Site) -> Iterator[Proposal]:
    """Two positional arguments change places; neighbours first."""
    if not isinstance(site.node, ast.Call):
        return
    arguments = site.node.args
    if any(isinstance(a, ast.Starred) for a in arguments):
        return
    for distance in range(1, len(arguments)):
        for one, other in zip(arguments, arguments[distance:], strict=False):
            if site.text(one) != site.text(other):
                yield site.exchange(one, other, 1.0 / distance)


def swap_elements(site: Site) -> Iterator[Proposal]:
    """Two neighbours in a tuple (also of a subscript) change places."""
    if isinstance(site.node, ast.Tuple):
        for one, other in zip(site.node.elts, site.node.elts[1:], strict=False):
            if site.text(one) != site.text(other):
                yield site.exchange(one, other)


def replace_expression(site: Site) -> Iterator[Proposal]:
    """An expression becomes another one of the same function, or a variable in scope."""
    node = site.node
    compound = isinstance(node, ast.Call | ast.Subscript | ast.Attribute)
    if not (compound or isinstance(node, ast.Name)) or _is_called(site):
        return
    assert isinstance(node, ast.expr)
    stored = isinstance(getattr(node, "ctx", None), ast.Store)
    text = site.text(node)
    if compound and not stored:
        for name in site.variables:
            yield site.swap(node, name, 0.9)
    for other in _expressions(site, stored=stored):
        if other != text:
            yield site.swap(node, other, 0.7 if compound else 0.5)


def _expressions(site: Site, *, stored: bool) -> Iterator[str]:
    function = site.source.function(site.node)
    wanted = (ast.Subscript, ast.Attribute) if stored else (ast.Call, ast.Subscript, ast.Attribute)
    found: dict[str, None] = {}
    for node in ast.walk(function) if function else ():
        if isinstance(node, wanted) and not _called(site, node):
            found[site.text(node)] = None
    yield from list(found)[:MAX_EXPRESSIONS]


OPERATORS = (
    Operator("swap-arguments", 1.0, swap_arguments),
    Operator("sibling-function", 0.8, sibling_function),
    Operator("replace-variable", 0.65, replace_variable),
    Operator("replace-attribute", 0.6, replace_attribute),
    Operator("swap-elements", 0.55, swap_elements),
    Operator("replace-function", 0.35, replace_function),
    Operator("replace-expression", 0.16, replace_expression),
)
