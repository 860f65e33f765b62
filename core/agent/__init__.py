"""The agent: a loop in which a model reads, runs, edits and submits, inside a sandbox."""

from evo_agent.core.agent.solver import AgentSolver

__all__ = ["AgentSolver"]
