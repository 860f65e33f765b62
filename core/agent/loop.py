"""The loop: ask the model, do what it asks, show it what came of that, until something stops."""

from collections.abc import Callable

from evo_agent.core.agent.actions import Action, from_text, from_tool_call
from evo_agent.core.agent.context import fit
from evo_agent.core.agent.specs import TOOLS
from evo_agent.core.agent.spending import Spending
from evo_agent.core.agent.stops import FormatError, LimitsExceeded, Submitted, ToolError
from evo_agent.core.agent.tools import Tools
from evo_agent.core.chat import Message, Reply, ToolCall
from evo_agent.core.protocols import Model

MALFORMED_IN_A_ROW = 5  # replies that ask for nothing doable, after which the round stops


class Loop:
    """One conversation, and how it ended.

    Args:
        model: the chat model.
        tools: what it may use.
        spending: what it may use up.
        messages: system prompt and task.
        context_tokens: the prompt is kept below this.

    Attributes:
        stopped: why it ended; empty while it goes on.
        submitted: what the model handed over, if it did.
    """

    def __init__(
        self,
        model: Model,
        tools: Tools,
        spending: Spending,
        messages: list[Message],
        context_tokens: int,
    ) -> None:
        self._model = model
        self._tools = tools
        self._spending = spending
        self._context_tokens = context_tokens
        self._malformed = 0
        self.messages = messages
        self.stopped = ""
        self.submitted = Submitted()

    def run(self) -> None:
        """Take steps until something stops them."""
        while not self.stopped:
            try:
                self.step()
            except FormatError as error:
                self._malformed += 1
                self.messages.append(error.answer)
            except Submitted as submitted:
                self.submitted, self.stopped = submitted, "submitted"
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
        self.messages = fit(self.messages, self._context_tokens)
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
            self._observe(lambda: from_text(reply.content), None)
        elif not reply.tool_calls:
            raise FormatError(Message("user", _no_call(reply)))
        for call in reply.tool_calls if self._model.calls_tools else ():
            self._observe(_parser(call), call)

    def _observe(self, parse: Callable[[], Action], call: ToolCall | None) -> None:
        """Parse and perform one action; an error of either is what the model is told."""
        malformed = self._malformed + 1
        try:
            action = parse()
            malformed = 0
            text = self._tools.perform(action)
        except ToolError as error:
            text = f"<error>{error}</error>"
        self._malformed = malformed
        role, answers = ("user", "") if call is None else ("tool", call.id)
        self.messages.append(Message(role, text, tool_call_id=answers))


def _parser(call: ToolCall) -> Callable[[], Action]:
    return lambda: from_tool_call(call)


def _no_call(reply: Reply) -> str:
    cut = " The reply was cut at the output limit: be shorter." * (reply.finish_reason == "length")
    return (
        f"<error>The reply called no tool, so nothing was done. Call one, or submit.{cut}</error>"
    )
