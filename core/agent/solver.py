"""The solver that a model drives: a loop a round, and the candidate that comes of it."""

from evo_agent.core.agent import prompts
from evo_agent.core.agent.loop import Loop
from evo_agent.core.agent.patches import limited
from evo_agent.core.agent.spending import Spending
from evo_agent.core.agent.tools import Tools
from evo_agent.core.agent.watch import Watch
from evo_agent.core.config import Config
from evo_agent.core.errors import PatchRefusedError
from evo_agent.core.guard import Guard
from evo_agent.core.protocols import Assignment, Model
from evo_agent.core.types import Candidate, Cost, FrozenTest


class AgentSolver:
    """Lets a model read, run, edit and submit inside the sandbox; one object serves a run.

    Args:
        model: the chat model.
        config: limits, context size, time allowed for a command.
        guard: rules that every action is held against before it runs.
    """

    def __init__(self, model: Model, config: Config, guard: Guard | None = None) -> None:
        self._model = model
        self._watch = Watch(guard or Guard())
        self._config = config
        self._spent = Cost()
        self._frozen: FrozenTest | None = None

    @property
    def name(self) -> str:
        """Agent, with the model's name."""
        return f"agent ({self._model.name})"

    def solve(self, assignment: Assignment) -> Candidate:
        """Work until the model submits or a limit is reached; hand over what is in the tree.

        Raises:
            ModelError: the model cannot be used.
            InfrastructureError: the sandbox died.
        """
        config = self._config
        spending = Spending(config.limits, self._spent, say=assignment.progress)
        tools = Tools(assignment, config, spending, self._frozen, self._watch)
        messages = prompts.opening(
            assignment,
            calls_tools=self._model.calls_tools,
            context_tokens=config.model.context_tokens,
            frozen=self._frozen,
        )
        loop = Loop(self._model, tools, spending, messages, config.model.context_tokens)
        loop.run()
        self._spent += spending.cost
        self._frozen = tools.frozen
        return self._candidate(assignment, loop, spending.cost)

    def _candidate(self, assignment: Assignment, loop: Loop, cost: Cost) -> Candidate:
        diff, stopped = _diff(assignment, loop.stopped)
        submitted = loop.submitted
        patch, left_out = limited(diff, submitted.files) if submitted.files else (diff, ())
        return Candidate(
            patch=patch,
            note=submitted.note,
            stopped=stopped,
            cost=cost,
            cited=submitted.cited,
            frozen_test=self._frozen,
            facts={
                "model": self._model.name,
                "steps": cost.model_calls,
                "not_submitted": list(left_out),
                "triggered": list(self._watch.triggered),
                "blocked": self._watch.blocked,
            },
        )


def _diff(assignment: Assignment, stopped: str) -> tuple[str, str]:
    """The patch, and why the round ended; a limit may have left a tree that makes no patch."""
    try:
        return assignment.sandbox.diff(), stopped
    except PatchRefusedError as error:
        return "", f"{stopped}, with a tree that makes no patch: {error.cause}"
