"""What a finished run hands to memory."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from evo_agent.core.types import Candidate, Task, Verdict
from evo_agent.memory.lifecycle import trace
from evo_agent.memory.lifecycle.credit import MEMORY


@dataclass(frozen=True)
class RunFacts:
    """What a finished run hands to memory.

    Attributes:
        run: the run's id.
        repo: the repository's identity.
        task: what was to be fixed; skills are written below `task.repo`.
        verdict: the verifier's.
        verdict_event: number of the verdict's event in the run's log. Without one nothing is
            written back.
        candidate: what was judged; None when the solver handed over nothing.
        recalled: ids of the records that were shown to the solver.
        time: when the run ended, seconds since 1970 (0: now); later queries see it.
        log: the run's folder; when given, the event is looked up there and must be a verdict.
        steps: what the solver did, JSON-ready; empty: what the log holds (memory.lifecycle.trace).
        solver: agent or repair, with the model's name.
        arm: memory | control; a control run worked with memory off, and credits nothing.
        family: tasks that are compared with each other; empty: the task's own id.
        triggered: ids of records that fired by themselves (guardrails); credited like cited ones.
    """

    run: str
    repo: str
    task: Task
    verdict: Verdict
    verdict_event: int | None
    candidate: Candidate | None = None
    recalled: tuple[str, ...] = ()
    time: float = 0.0
    log: Path | None = None
    steps: tuple[Mapping[str, Any], ...] = field(default=())
    solver: str = ""
    arm: str = MEMORY
    family: str = ""
    triggered: tuple[str, ...] = ()

    @property
    def evidence(self) -> tuple[str, ...]:
        """Ids of what shows the verdict."""
        return (f"run:{self.run}#{self.verdict_event}",)

    @cached_property
    def moment(self) -> float:
        """When the run ended, seconds since 1970."""
        return self.time or time.time()

    @cached_property
    def done(self) -> tuple[Mapping[str, Any], ...]:
        """The run's steps, as given or as its log tells them."""
        return self.steps or (trace.steps(self.log) if self.log is not None else ())

    @cached_property
    def used(self) -> tuple[str, ...]:
        """Ids of the records that the verdict credits: cited, or fired by themselves."""
        cited = self.candidate.cited if self.candidate is not None else ()
        fired = self.triggered or (trace.triggered(self.log) if self.log is not None else ())
        return tuple(dict.fromkeys((*cited, *fired)))
