"""How the loop is interrupted: a small tree of exceptions (after mini-swe-agent's).

Not errors a person sees: the loop catches every one of them.
"""

from evo_agent.core.chat import Message


class AgentInterrupt(Exception):  # noqa: N818 - control flow, not an error
    """Something other than the next step comes next."""


class Submitted(AgentInterrupt):
    """The model says it is done.

    Args:
        note: its own words.
        cited: ids of the records it says it used.
        files: paths that it submits, where it names them; empty for the whole tree.
    """

    def __init__(
        self,
        note: str = "",
        cited: tuple[str, ...] = (),
        files: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(note)
        self.note = note
        self.cited = cited
        self.files = files


class LimitsExceeded(AgentInterrupt):
    """A limit is reached; the reason becomes the candidate's `stopped`."""


class FormatError(AgentInterrupt):
    """The reply asks for nothing that can be done; it is answered, not fatal.

    Args:
        answer: tells the model what is wrong and what to do.
    """

    def __init__(self, answer: Message) -> None:
        super().__init__(answer.content)
        self.answer = answer


class ToolError(Exception):
    """A tool cannot do what was asked; the text says why and what to do instead."""
