"""What a run has used, against what it may use.

Only recorded figures count (a reply's cost, a command's duration), never the clock: a resumed
run must come to the same decision at the same step.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from evo_agent.core.agent.stops import LimitsExceeded
from evo_agent.core.chat import Reply
from evo_agent.core.config import LimitsConfig
from evo_agent.core.types import CommandResult, Cost


@dataclass(slots=True)
class Spending:
    """Costs of one round, on top of earlier rounds'.

    Attributes:
        limits: 0 means no limit; `steps` holds for a round, the others for the run.
        earlier: what earlier rounds of the run used.
        cost: what this round used so far.
        say: told once when the limit on dollars cannot hold.
    """

    limits: LimitsConfig
    earlier: Cost = field(default_factory=Cost)
    cost: Cost = field(default_factory=Cost)
    say: Callable[[str], None] = field(default=lambda _: None)

    def reply(self, reply: Reply) -> None:
        """Count a model call."""
        if reply.cost.dollars is None and self.limits.dollars and self.cost.dollars is not None:
            self.say("the model's price is unknown: limits.dollars cannot hold, the others do")
        self.cost += reply.cost

    def command(self, result: CommandResult) -> None:
        """Count a command."""
        self.cost += Cost(seconds=result.duration, commands=1)

    def check(self) -> None:
        """See that the next step may be taken.

        Raises:
            LimitsExceeded: it may not; the reason names the limit.
        """
        run = self.earlier + self.cost
        used: dict[str, tuple[float, float]] = {
            "step": (self.cost.model_calls, self.limits.steps),
            "token": (run.input_tokens + run.output_tokens, self.limits.tokens),
            "time": (run.seconds, self.limits.seconds),
            "cost": (run.dollars or 0.0, self.limits.dollars),
        }
        for name, (amount, limit) in used.items():
            if limit and amount >= limit:
                raise LimitsExceeded(f"{name} limit ({amount:g} of {limit:g})")
