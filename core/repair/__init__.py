"""Repair: the offline solver, which needs a failing test and no model.

Rooms: localise (where), operators (what could be done), mutants (one candidate each), search
and rank (in which order, and which one), evaluate, driver and probe (tried inside the
sandbox), recollect (what memory adds), solver (the whole).
"""

from evo_agent.core.repair.search import SearchLimits
from evo_agent.core.repair.solver import RepairSolver

__all__ = ["RepairSolver", "SearchLimits"]
