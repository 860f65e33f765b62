"""The edit operators, each with a stable name. To add one: a function, and a line in OPERATORS."""

from evo_agent.core.repair.operators import (
    arithmetic,
    comparisons,
    conditions,
    names,
    statements,
    values,
)
from evo_agent.core.repair.operators.site import Operator, Proposal, Site

ALL: tuple[Operator, ...] = (
    *comparisons.OPERATORS,
    *arithmetic.OPERATORS,
    *names.OPERATORS,
    *conditions.OPERATORS,
    *values.OPERATORS,
    *statements.OPERATORS,
)

__all__ = ["ALL", "Operator", "Proposal", "Site"]
