"""Guardrails in the agent's loop: what it is about to do, held against the rules of the run."""

import posixpath

from evo_agent.core.agent.actions import Action, Bash, Create, Freeze, Recall, Replace, Submit, View
from evo_agent.core.agent.prompts import fenced, short
from evo_agent.core.agent.stops import ToolError
from evo_agent.core.guard import LONGEST_REASON, Guard, Rule, Step
from evo_agent.core.protocols import Recorder

_LONGEST_KEPT = 4_000  # characters of a step's text that an event repeats


class Watch:
    """What was done so far in a run, and which rules objected.

    Decisions follow from the rules and the actions alone, so a resumed run comes to the same ones.

    Args:
        guard: the rules of the run.

    Attributes:
        triggered: ids of the rules that objected, each once, in order.
        blocked: how many actions were not run.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._done: list[Step] = []
        self.triggered: dict[str, None] = {}
        self.blocked = 0

    def look(self, action: Action, root: str, log: Recorder) -> str:
        """See whether an action may run; called before it does.

        Returns:
            What the model is told beside the observation; empty when nothing objects.

        Raises:
            ToolError: a rule blocks it; the text is for the model.
        """
        step = seen(action, root)
        objecting = self._guard.objections(step, self._done)
        if not objecting:
            self._done.append(step)
            return ""
        self.triggered |= dict.fromkeys(rule.id for rule in objecting)
        block = objecting[0].action == "block"
        log.emit(
            "guard",
            text=f"a guardrail objects: {' '.join(objecting[0].reason.split())[:200]}",
            action="block" if block else "warn",
            rules=[{"id": rule.id, "reason": rule.reason} for rule in objecting],
            step=f"{step.kind} {step.path or step.command}"[:_LONGEST_KEPT],
        )
        said = "\n".join(map(_said, objecting))
        if block:
            self.blocked += 1
            raise ToolError(f"not run: a guardrail blocks this.\n{said}\nFind another way.")
        self._done.append(step)
        return f"\n<warning>a guardrail objects; it may be wrong here.\n{said}\n</warning>"


def seen(action: Action, root: str) -> Step:
    """An action as a rule sees it; paths are relative to the root."""
    match action:
        case Bash(command):
            return Step("command", command=command)
        case Create(path, content) | Freeze(path, content):
            return Step("edit", path=_relative(path, root), added=content)
        case Replace(path, old, new):
            return Step("edit", path=_relative(path, root), added=new, removed=old)
        case View(path):
            return Step("view", path=_relative(path, root))
        case Recall(query):
            return Step("recall", command=query)
        case Submit():
            return Step("submit")


def _relative(path: str, root: str) -> str:
    whole = posixpath.normpath(posixpath.join(root, path))
    return posixpath.relpath(whole, root)


def _said(rule: Rule) -> str:
    return f"[{short(rule.id)}] {fenced(rule.reason[:LONGEST_REASON], 'guardrail')}"
