"""What stands in for memory in a run: nothing, or what a recorded run was told; and its rules."""

from collections.abc import Iterable

from evo_agent.core.codec import from_json
from evo_agent.core.events import RunLog
from evo_agent.core.git import open_repository
from evo_agent.core.guard import Rule, RuleSource
from evo_agent.core.protocols import Recaller
from evo_agent.core.types import Query, Recalled, to_json
from evo_agent.memory.lifecycle.credit import CONTROL, MEMORY
from evo_agent.memory.store import Memory
from evo_agent.tasks.runs import Start


class NoMemory:
    """Memory switched off: it knows nothing."""

    def recall(self, query: Query) -> tuple[Recalled, ...]:
        """Nothing."""
        del query
        return ()


class RecordedAnswers:
    """Memory as a recorded run saw it: the same answers in the same order, the same rules."""

    def __init__(
        self, answers: Iterable[tuple[Recalled, ...]], rules: tuple[Rule, ...] = ()
    ) -> None:
        self._answers = iter(answers)
        self._rules = rules

    def recall(self, query: Query) -> tuple[Recalled, ...]:
        """The next recorded answer; nothing once they are used up."""
        del query
        return next(self._answers, ())

    def guardrails(self, query: Query) -> tuple[Rule, ...]:
        """The recorded rules."""
        del query
        return self._rules


def run_rules(start: Start, log: RunLog, memory: Recaller | None) -> tuple[Rule, ...]:
    """The guardrails of the run; its log has them, so that resuming decides as it did."""
    task = start.task
    query = Query(
        "", repo=open_repository(task.repo).identity, base=task.base, issue_id=task.issue_ids
    )
    return log.call(
        "guardrails",
        {"base": task.base},
        lambda: memory.guardrails(query) if isinstance(memory, RuleSource) else (),
        lambda rules: [to_json(rule) for rule in rules],
        lambda raw: tuple(from_json(Rule, rule) for rule in raw),
    )


def drawn_arm(log: RunLog, memory: Memory | None, repo: str, share: float) -> str:
    """The arm of the run, memory or control; its log has it, so that it resumes in the same one.

    Args:
        log: the run's.
        memory: None: there is none to switch off.
        repo: the repository's identity.
        share: memory.control.
    """
    if memory is None or share <= 0:
        return MEMORY
    request = {"repo": repo}
    arm = log.call("arm", request, lambda: memory.upkeep.arm(repo, log.folder.name), str, str)
    if arm == CONTROL:
        log.emit("progress", text="this run works without memory, to measure what memory is worth")
    return arm
