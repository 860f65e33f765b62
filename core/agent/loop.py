"""The agent: ask the model, do what it asks, show it what came of that, until it is done."""

from collections.abc import Callable

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
    from_text,
    from_tool_call,
)
from evo_agent.core.agent.context import fit, observation
from evo_agent.core.agent.freeze import freeze
from evo_agent.core.agent.patches import by_file, limited
from evo_agent.core.agent.specs import TOOLS
from evo_agent.core.agent.spending import Spending
from evo_agent.core.agent.stops import FormatError, LimitsExceeded, Submitted, ToolError
from evo_agent.core.config import Config
from evo_agent.core.protocols import Assignment, Model
from evo_agent.core.types import (
    Candidate,
    Cost,
    FrozenTest,
    Message,
    Query,
    Reply,
    ToolCall,
)

SUBMIT_MARKER = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"  # mini-swe-agent's convention
MALFORMED_IN_A_ROW = 5  # replies that ask for nothing doable, after which the round stops
_PROGRESS = 100  # characters of an action in a progress line


class AgentSolver:
    """The solver that a model drives.

    Args:
        model: the chat model.
        config: limits, context size, time allowed for a command.
    """

    def __init__(self, model: Model, config: Config) -> None:
        self._model = model
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
        spending = Spending(self._config.limits, self._spent)
        attempt = Attempt(self._model, self._config, assignment, spending, self._frozen)
        try:
            attempt.run()
        finally:
            self._spent, self._frozen = self._spent + spending.cost, attempt.frozen
        return self._candidate(attempt, assignment.sandbox.diff(), spending.cost)

    def _candidate(self, attempt: "Attempt", diff: str, cost: Cost) -> Candidate:
        patch, left_out = limited(diff, attempt.files) if attempt.files else (diff, ())
        return Candidate(
            patch=patch,
            note=attempt.note,
            stopped=attempt.stopped,
            cost=cost,
            cited=attempt.cited,
            frozen_test=attempt.frozen,
            facts={
                "model": self._model.name,
                "steps": cost.model_calls,
                "not_submitted": list(left_out),
            },
        )


class Attempt:
    """One round: a conversation, and what came of it."""

    def __init__(
        self,
        model: Model,
        config: Config,
        assignment: Assignment,
        spending: Spending,
        frozen: FrozenTest | None = None,
    ) -> None:
        self._model = model
        self._config = config
        self._assignment = assignment
        self._spending = spending
        self._malformed = 0
        self.messages = prompts.opening(assignment, calls_tools=model.calls_tools)
        self.frozen = frozen
        self.stopped = ""
        self.note = ""
        self.cited: tuple[str, ...] = ()
        self.files: frozenset[str] = frozenset()

    def run(self) -> None:
        """Take steps until something stops them."""
        while not self.stopped:
            try:
                self.step()
            except FormatError as error:
                self._malformed += 1
                self.messages.extend(error.answers)
            except Submitted as submitted:
                self.note, self.cited = submitted.note, submitted.cited
                self.files, self.stopped = submitted.files, "submitted"
            except LimitsExceeded as limit:
                self.stopped = str(limit)

    def step(self) -> None:
        """Query, execute, observe."""
        self.execute(self.query())

    def query(self) -> Reply:
        """Ask the model for the next actions.

        Raises:
            LimitsExceeded: no further step may be taken.
        """
        self._spending.check()
        if self._malformed >= MALFORMED_IN_A_ROW:
            raise LimitsExceeded(f"{self._malformed} malformed replies in a row")
        self.messages = fit(self.messages, self._config.model.context_tokens)
        reply = self._model.query(self.messages, TOOLS if self._model.calls_tools else ())
        self._spending.reply(reply)
        self.messages.append(Message("assistant", reply.content, reply.tool_calls))
        return reply

    def execute(self, reply: Reply) -> None:
        """Do what a reply asks, in order, and append what came of each.

        Raises:
            FormatError: it asks for nothing that can be done.
            Submitted: the model is done.
        """
        if not self._model.calls_tools:
            self._malformed = self._one(lambda: from_text(reply.content), None, self._malformed)
            return
        if not reply.tool_calls:
            raise FormatError(Message("user", _no_call(reply)))
        for call in reply.tool_calls:
            self._malformed = self._one(_parser(call), call, self._malformed)

    def _one(self, parse: Callable[[], Action], call: ToolCall | None, malformed: int) -> int:
        """Parse and perform one action; returns the number of malformed ones in a row."""
        try:
            action = parse()
        except ToolError as error:
            self._answer(call, f"<error>{error}</error>")
            return malformed + 1
        try:
            self._answer(call, self._perform(action))
        except ToolError as error:
            self._answer(call, f"<error>{error}</error>")
        return 0

    def _answer(self, call: ToolCall | None, text: str) -> None:
        if call is None:
            self.messages.append(Message("user", text))
        else:
            self.messages.append(Message("tool", text, tool_call_id=call.id))

    def _perform(self, action: Action) -> str:
        self._assignment.progress(_described(action))
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
                raise Submitted(note, cited)

    def _bash(self, command: str) -> str:
        result = self._assignment.sandbox.exec(command, timeout=self._config.sandbox.timeout)
        self._spending.command(result)
        first, _, printed = result.output.lstrip().partition("\n")
        if first.strip() == SUBMIT_MARKER and result.exit_code == 0:
            # The patch it prints is not believed, the host computes it; but the files in it are
            # the ones it means to submit, others being its scratch.
            raise Submitted(files=frozenset(() if result.truncated else by_file(printed)))
        return observation(result)

    def _recall(self, text: str) -> str:
        task = self._assignment.task
        query = Query(text, base=task.base, issue_id=task.id, limit=self._config.memory.limit)
        found = self._assignment.memory.recall(query)
        self._assignment.log.emit(
            "recall", query=text, results=[[record.id, record.score] for record in found]
        )
        return prompts.shown_records(found)


def _parser(call: ToolCall) -> Callable[[], Action]:
    return lambda: from_tool_call(call)


def _no_call(reply: Reply) -> str:
    cut = " The reply was cut at the output limit: be shorter." * (reply.finish_reason == "length")
    return (
        f"<error>The reply called no tool, so nothing was done. Call one, or submit.{cut}</error>"
    )


def _described(action: Action) -> str:
    match action:
        case Bash(command):
            text = f"$ {command}"
        case View(path) | Create(path) | Replace(path) | Freeze(path):
            text = f"{type(action).__name__.lower()} {path}"
        case Recall(query):
            text = f"recall {query}"
        case Submit(note):
            text = f"submit {note}"
    line = " ".join(text.split())
    return line if len(line) <= _PROGRESS else line[: _PROGRESS - 1] + "…"
