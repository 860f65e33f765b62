"""What memory contributes: operators and ingredients that fixed something like this before."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evo_agent.core.repair.edits import Mutant
from evo_agent.core.types import Recalled

OPERATOR_BOOST = 20.0  # above every prior: an operator that worked before is tried first
INGREDIENT_BOOST = 1.5
MAX_LINES = 200
SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Hint:
    """What one recalled record says.

    Attributes:
        id: the record's.
        operators: names of operators that made an earlier fix.
        added: lines that an earlier diff added, white space squeezed.
        factor: 1 for the best record, less for later ones.
    """

    id: str
    operators: frozenset[str]
    added: tuple[str, ...]
    factor: float


def hints(recalled: Sequence[Recalled]) -> tuple[Hint, ...]:
    """Read the records, best first."""
    return tuple(
        Hint(r.id, frozenset(_operators(r.data)), tuple(_added(r)), 1.0 / (1 + 0.1 * place))
        for place, r in enumerate(recalled)
    )


def _operators(data: Mapping[str, Any]) -> Iterator[str]:
    """Operator names in a record's data, or one level down in its facts."""
    for holder in (data, data.get("facts"), data.get("metadata")):
        names = holder.get("operators") if isinstance(holder, Mapping) else None
        if isinstance(names, str):
            yield from names.replace(",", " ").split()
        elif isinstance(names, list | tuple):
            yield from (str(n) for n in names)


def _added(record: Recalled) -> Iterator[str]:
    diff = record.diff or str(record.data.get("diff", ""))
    for line in diff.splitlines()[:MAX_LINES]:
        if line.startswith("+") and not line.startswith("+++"):
            squeezed = SPACE.sub(" ", line[1:]).strip()
            if squeezed:
                yield squeezed


def boosted(mutant: Mutant, line_after: str, known: Sequence[Hint]) -> Mutant:
    """The mutant with what memory says about it.

    Args:
        mutant: a candidate.
        line_after: its line as it reads with the edit.
        known: hints, best first.
    """
    squeezed = SPACE.sub(" ", line_after).strip()
    boost, sources = 1.0, []
    for hint in known:
        if mutant.operator in hint.operators:
            boost = max(boost, OPERATOR_BOOST * hint.factor)
            sources.append(hint.id)
        elif squeezed in hint.added:
            boost = max(boost, INGREDIENT_BOOST * OPERATOR_BOOST * hint.factor)
            sources.append(hint.id)
    return replace(mutant, boost=boost, sources=tuple(sources)) if sources else mutant
