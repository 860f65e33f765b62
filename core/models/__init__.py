"""Chat models behind one protocol: litellm's providers, and runs recorded earlier."""

from collections.abc import Callable
from pathlib import Path

from evo_agent.core.config import ModelConfig
from evo_agent.core.errors import UsageError
from evo_agent.core.models.client import LiteLLMModel, warm
from evo_agent.core.models.replay import ReplayModel
from evo_agent.core.models.transcript import Transcript, read_transcript
from evo_agent.core.protocols import Model

__all__ = [
    "LiteLLMModel",
    "ReplayModel",
    "Transcript",
    "make_model",
    "read_transcript",
    "warm",
]

REPLAY_PREFIX = "replay:"


def make_model(config: ModelConfig, tell: Callable[[str], None] = lambda _: None) -> Model:
    """Make the model that the configuration names; nothing heavy is imported yet.

    Args:
        config: `name` is litellm's "provider/model", or "replay:FILE".
        tell: told in one line when a call failed and will be tried again.

    Raises:
        UsageError: no name is configured.
        ModelError: the recorded run cannot be read.
    """
    if not config.name:
        raise UsageError(
            "no model is configured",
            "pass --model provider/name, or set EVO_MODEL_NAME",
        )
    if config.name.startswith(REPLAY_PREFIX):
        path = Path(config.name.removeprefix(REPLAY_PREFIX)).expanduser()
        return ReplayModel(read_transcript(path))
    return LiteLLMModel(config, tell=tell)
