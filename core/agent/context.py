"""Keeping the prompt below model.context_tokens, and observations to a readable size.

Oldest observations go first, several at once: a provider's prompt cache lives on an unchanged
prefix, so the prompt is cut rarely and then well below the limit (hysteresis).
"""

import json
from collections.abc import Sequence
from dataclasses import replace

from evo_agent.core.chat import Message
from evo_agent.core.types import CommandResult

OBSERVATION_CHARACTERS = 10_000  # as mini-swe-agent's templates: head and tail of 5,000
_CHARACTERS_PER_TOKEN = 3.0  # code tokenizes worse than prose; errs towards cutting early
_LOW_WATER = 0.7  # share of the limit that a cut leaves
_KEPT_LATEST = 4  # messages at the end that are cut last
_KEPT_FIRST = 2  # system prompt and task
_STUB = 400  # characters that a cut message may keep


def observation(result: CommandResult) -> str:
    """What the model is told of a command's result; long output keeps head and tail."""
    lines = [f"<returncode>{result.exit_code}</returncode>"]
    if result.timed_out:
        lines.append("<note>killed: it ran longer than a command may</note>")
    text = result.output
    if result.truncated or len(text) > OBSERVATION_CHARACTERS:
        kept = f" (whole output kept as {result.full_output.name})" if result.full_output else ""
        lines.append(
            f"<note>the output is long, its middle is left out{kept}; use head, tail, sed or "
            "grep to see a part of it</note>"
        )
    lines.append(f"<output>\n{shortened(text, OBSERVATION_CHARACTERS)}\n</output>")
    return "\n".join(lines)


def shortened(text: str, limit: int) -> str:
    """Head and tail of a text that is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


def estimate_tokens(messages: Sequence[Message]) -> int:
    """Estimate a prompt's tokens from its characters, rather too high than too low."""
    return int(sum(map(_size, messages)) / _CHARACTERS_PER_TOKEN)


def fit(messages: Sequence[Message], limit: int) -> list[Message]:
    """Return the messages, cut where needed so that they take fewer than `limit` tokens.

    The number and order of messages stay, so that every tool call keeps its answer.

    Args:
        messages: system prompt, task, then replies and observations.
        limit: tokens.
    """
    fitted = list(messages)
    if estimate_tokens(fitted) <= limit:
        return fitted
    target = int(limit * _LOW_WATER)
    middle = range(_KEPT_FIRST, max(len(fitted) - _KEPT_LATEST, _KEPT_FIRST))
    observations = [i for i in middle if fitted[i].role != "assistant"]
    replies = [i for i in middle if fitted[i].role == "assistant"]
    latest = range(middle.stop, len(fitted))
    for index in (*observations, *replies, *latest):
        if estimate_tokens(fitted) <= target:
            break
        fitted[index] = _elided(fitted[index], index)
    return fitted


def _size(message: Message) -> int:
    calls = sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
    return len(message.content) + calls


def _elided(message: Message, index: int) -> Message:
    content = message.content
    if len(content) > _STUB and not content.startswith("[elided"):
        what = "reply" if message.role == "assistant" else "observation"
        content = (
            f"[elided: {what} of {len(content)} characters, message {index} in the run's log; "
            f"run the command again if it is needed. It began:]\n{content[: _STUB // 2]}"
        )
    calls = tuple(
        replace(call, arguments=_stub_arguments(call.arguments)) for call in message.tool_calls
    )
    return replace(message, content=content, tool_calls=calls)


def _stub_arguments(arguments: str) -> str:
    if len(arguments) <= _STUB:
        return arguments
    return json.dumps({"elided": f"{len(arguments)} characters"})
