"""What `evo fix` is asked, and what it answers."""

from dataclasses import dataclass, field
from pathlib import Path

from evo_agent.core.types import Candidate, Cost, Recalled, Task, Verdict
from evo_agent.tasks.deliver import Delivery

EXIT_HOLDS, EXIT_UNPROVED = 0, 3


@dataclass(frozen=True, slots=True)
class FixRequest:
    """What a person asked for.

    Attributes:
        repo: any folder inside the repository.
        issue: text, a file, "-", a GitHub URL or "#n"; None when tests or a log say it all.
        tests: ids of failing tests.
        log: path of a CI log.
        delivery: what to do with a fix that holds.
        stash: put uncommitted work aside for the delivery, and back afterwards.
        solver: agent | repair; empty: agent when a model is configured.
    """

    repo: Path
    issue: str | None = None
    tests: tuple[str, ...] = ()
    log: str | None = None
    delivery: Delivery = field(default_factory=Delivery)
    stash: bool = False
    solver: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """What memory kept of a run.

    Attributes:
        episode: the episode's record id.
        skill: the candidate skill's record id, if the fix holds.
        skill_name: its name, and its folder's name.
        promoted: names of skills that this run made active.
    """

    episode: str = ""
    skill: str = ""
    skill_name: str = ""
    promoted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One candidate, and what the verifier said of it."""

    candidate: Candidate
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class FixResult:
    """What came of a run.

    Attributes:
        run: the run's folder.
        verdict: of the best attempt; None when there was nothing to verify.
        candidate: the best attempt.
        delivered: one line on where the fix went; empty when nothing was delivered.
        suspects: files worth reading first, best first.
        advice: what would take this further, one line, when it did not hold.
    """

    run: Path
    task: Task
    verdict: Verdict | None = None
    candidate: Candidate | None = None
    recalled: tuple[Recalled, ...] = ()
    delivered: str = ""
    written: Written = field(default_factory=Written)
    cost: Cost = field(default_factory=Cost)
    suspects: tuple[str, ...] = ()
    advice: str = ""

    @property
    def patch(self) -> str:
        """The best attempt's diff; empty when there is none."""
        return self.candidate.patch if self.candidate else ""

    @property
    def exit_code(self) -> int:
        """0 when proved or reproduced, otherwise 3; infrastructure is an error, never a result."""
        held = self.verdict is not None and self.verdict.holds
        return EXIT_HOLDS if held else EXIT_UNPROVED
