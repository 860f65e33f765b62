"""A recorded run as a model: the same replies in the same order, whatever it is asked.

With the same sandbox, a run replayed this way is the recorded run, offline (UniSim).
"""

from collections.abc import Sequence

from evo_agent.core.chat import Message, Reply, ToolSpec
from evo_agent.core.errors import ModelError
from evo_agent.core.models.transcript import Transcript


class ReplayModel:
    """Plays a transcript.

    Args:
        transcript: the recorded run.
    """

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._next = 0

    @property
    def name(self) -> str:
        """The recorded run's file, after "replay:"."""
        return f"replay:{self._transcript.source}"

    @property
    def calls_tools(self) -> bool:
        """Whether the recorded run used tool calls."""
        return self._transcript.calls_tools

    def query(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """Return the next recorded reply.

        Raises:
            ModelError: the recording has ended.
        """
        del messages, tools
        replies = self._transcript.replies
        if self._next >= len(replies):
            raise ModelError(
                f"the recorded run {self._transcript.source} ended after {len(replies)} replies",
                "replay it under the conditions that it was recorded in, or use a model",
            )
        self._next += 1
        return replies[self._next - 1]
