"""From suspicious lines to candidate fixes."""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from evo_agent.core.repair.edits import Edit, Mutant, apply_edits
from evo_agent.core.repair.localise import Place
from evo_agent.core.repair.operators import ALL, Site
from evo_agent.core.repair.source import Source, UnparsableError, parse

NOT_EXECUTED = 0.15  # of its function's suspiciousness, for a line no failing test reached
MODULE_LEVEL = 0.1  # of its file's suspiciousness: run at import, so no test covers it
MAX_MUTANTS = 30_000
QUOTED = (ast.JoinedStr, ast.FormattedValue)  # positions inside are wrong before Python 3.12


@dataclass(frozen=True, slots=True)
class Suspect:
    """A statement with what localisation says of it."""

    statement: ast.stmt
    suspiciousness: float
    rank: int


def suspects(source: Source, places: Sequence[Place]) -> list[Suspect]:
    """The statements of a file that may be at fault, most suspicious first."""
    scores = {p.line: p for p in places if p.path == source.path}
    if not scores:
        return []
    best = max(p.suspiciousness for p in scores.values())
    last = len(scores) + 1
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.stmt) and not isinstance(node, ast.Import | ast.ImportFrom):
            here = [scores[n] for n in _own_lines(node) if n in scores]
            if here:
                top = max(here, key=lambda p: p.suspiciousness)
                found.append(Suspect(node, top.suspiciousness, top.rank))
            elif (factor := _indirect(source, node, scores)) > 0:
                found.append(Suspect(node, best * factor, last))
    return sorted(found, key=lambda s: (-s.suspiciousness, s.statement.lineno))


def _own_lines(node: ast.stmt) -> range:
    """Lines of a simple statement, or of a compound one's header."""
    body = getattr(node, "body", None)
    if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
        return range(node.lineno, max(node.lineno, body[0].lineno - 1) + 1)
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _indirect(source: Source, node: ast.stmt, scores: Mapping[int, Place]) -> float:
    function = source.function(node)
    if function is None:
        return MODULE_LEVEL if isinstance(node, ast.Assign | ast.AnnAssign) else 0.0
    lines = range(function.body[0].lineno, (function.end_lineno or function.lineno) + 1)
    return NOT_EXECUTED if any(n in scores for n in lines) else 0.0


def mutants(source: Source, places: Sequence[Place]) -> Iterator[Mutant]:
    """Every proposal of every operator for the suspicious statements of a file."""
    for suspect in suspects(source, places):
        for node in _own_nodes(suspect.statement):
            yield from _proposed(source, node, suspect)


def _own_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """The statement and its expressions; nested statements are suspects of their own."""
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop(0)
        yield node
        pending += [
            child
            for child in ast.iter_child_nodes(node)
            if not isinstance(child, (ast.stmt, *QUOTED)) and not _annotates(node, child)
        ]


def _annotates(node: ast.AST, child: ast.AST) -> bool:
    return child in (getattr(node, "annotation", None), getattr(node, "returns", None))


def _proposed(source: Source, node: ast.AST, suspect: Suspect) -> Iterator[Mutant]:
    site = Site(source, node)
    function = source.qualified_name(node)
    for operator in ALL:
        for proposal in operator.propose(site):
            yield Mutant(
                operator=operator.name,
                edits=proposal.edits,
                path=source.path,
                line=getattr(node, "lineno", suspect.statement.lineno),
                function=function,
                prior=operator.prior,
                weight=proposal.weight,
                deletes=proposal.deletes,
                suspiciousness=suspect.suspiciousness,
                rank=suspect.rank,
            )


class Filter:
    """Lets a mutant pass once, and only if it is Python and differs from what is there."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = {s.path: s for s in sources}
        self._seen: set[tuple[str, int, str]] = set()
        for source in self._sources.values():
            for node in source.tree.body:
                self._seen.add(self._fingerprint(source, node.lineno, ()))

    def admits(self, mutant: Mutant) -> bool:
        """Whether the mutant is new and parses."""
        source = self._sources[mutant.path]
        try:
            mark = self._fingerprint(source, mutant.line, mutant.edits)
        except (UnparsableError, ValueError):
            return False
        if mark in self._seen:
            return False
        self._seen.add(mark)
        return True

    @staticmethod
    def _fingerprint(source: Source, line: int, edits: Sequence[Edit]) -> tuple[str, int, str]:
        start, end = source.enclosing_text(line)
        text = source.data[start:end]
        shifted = [replace(e, start=e.start - start, end=e.end - start) for e in edits]
        try:
            return source.path, start, ast.dump(parse(apply_edits(text, shifted)))
        except RecursionError as error:
            raise UnparsableError("nested too deep") from error
