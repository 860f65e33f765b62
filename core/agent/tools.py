"""What the tools do. Each takes a typed action and returns what the model is told."""

from evo_agent.core.agent import edit, prompts
from evo_agent.core.agent.actions import (
    Action,
    Bash,
    Create,
    Freeze,
    Recall,
    Replace,
    Submit,
    View,
)
from evo_agent.core.agent.context import observation
from evo_agent.core.agent.freeze import freeze
from evo_agent.core.agent.patches import by_file
from evo_agent.core.agent.spending import Spending
from evo_agent.core.agent.stops import Submitted, ToolError
from evo_agent.core.agent.watch import Watch
from evo_agent.core.config import Config
from evo_agent.core.errors import PatchRefusedError
from evo_agent.core.guard import Guard
from evo_agent.core.protocols import Assignment
from evo_agent.core.types import FrozenTest, Query

SUBMIT_MARKER = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"  # mini-swe-agent's convention
_DESCRIBED = 100  # characters of an action in a progress line


class Tools:
    """The tools of one round.

    Args:
        assignment: sandbox, tests, memory.
        config: time allowed for a command, number of records shown.
        spending: where commands are counted.
        frozen: the test that an earlier round froze.
        watch: looks at every action before it runs.
    """

    def __init__(
        self,
        assignment: Assignment,
        config: Config,
        spending: Spending,
        frozen: FrozenTest | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._watch = watch or Watch(Guard())
        self._assignment = assignment
        self._config = config
        self._spending = spending
        self._shown = [record.id for record in assignment.recalled]
        self.frozen = frozen

    def perform(self, action: Action) -> str:
        """Do it.

        Raises:
            ToolError: it cannot be done, or a guardrail blocks it; the text is for the model.
            Submitted: the action hands over.
        """
        self._assignment.progress(described(action))
        warning = self._watch.look(action, self._assignment.sandbox.root, self._assignment.log)
        return self._do(action) + warning

    def _do(self, action: Action) -> str:
        sandbox = self._assignment.sandbox
        match action:
            case Bash(command):
                return self._bash(command)
            case View():
                return edit.view(sandbox, action)
            case Create():
                return edit.create(sandbox, action)
            case Replace():
                return edit.replace(sandbox, action)
            case Recall(query):
                return self._recall(query)
            case Freeze():
                self.frozen, told = freeze(self._assignment, action)
                return told
            case Submit(note, cited):
                self._must_be_acceptable()
                raise Submitted(note, self._really_shown(cited))

    def _bash(self, command: str) -> str:
        result = self._assignment.sandbox.exec(command, timeout=self._config.sandbox.timeout)
        self._spending.command(result)
        first, _, printed = result.output.lstrip().partition("\n")
        if first.strip() == SUBMIT_MARKER and result.exit_code == 0:
            self._must_be_acceptable()
            # The patch it prints is not believed, the host computes it; but the files in it are
            # the ones it means to submit, others being its scratch.
            raise Submitted(files=frozenset(() if result.truncated else by_file(printed)))
        return observation(result)

    def _recall(self, text: str) -> str:
        task = self._assignment.task
        query = Query(
            text, base=task.base, issue_id=task.issue_ids, limit=self._config.memory.limit
        )
        found = self._assignment.memory.recall(query)
        self._shown += [record.id for record in found]
        return prompts.shown_records(found)

    def _really_shown(self, cited: tuple[str, ...]) -> tuple[str, ...]:
        """Full ids of the cited records that the model was shown; others earn no credit."""
        named = [prompts.short(record.strip("[] ")) for record in cited]
        return tuple(dict.fromkeys(i for n in named for i in self._shown if prompts.short(i) == n))

    def _must_be_acceptable(self) -> None:
        """See that the host takes the tree as a patch, while the model can still mend it."""
        try:
            self._assignment.sandbox.diff()
        except PatchRefusedError as error:
            raise ToolError(f"not submitted: {error.cause}; {error.remedy}") from error


def described(action: Action) -> str:
    """An action on one line, for people."""
    match action:
        case Bash(command):
            text = f"$ {command}"
        case View(path) | Create(path) | Replace(path) | Freeze(path):
            text = f"{type(action).__name__.lower()} {path}"
        case Recall(query):
            text = f"recall {query}"
        case Submit(note):
            text = f"submit {note}"
    line = "".join(filter(str.isprintable, " ".join(text.split())))  # no escapes to a terminal
    return line if len(line) <= _DESCRIBED else line[: _DESCRIBED - 1] + "…"
