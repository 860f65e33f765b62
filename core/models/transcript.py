"""Recorded runs as data: mini-swe-agent's transcripts (formats 1 and 1.1) and evo's own logs.

Formats, by what the file holds:
    evo: a run's `events.jsonl` or its folder; replies are the values of "model-result" events.
    mini-swe-agent 1: actions are the single ```bash block of each assistant message.
    mini-swe-agent 1.1: actions are tool calls `bash {"command"}`.
mini's runs are read as it writes them ({"messages": …, "trajectory_format": …}), or condensed
to {"system", "user", "steps": [{"content", "tool_calls"?}], "submission"}.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evo_agent.core.chat import Reply, ToolCall
from evo_agent.core.codec import from_json
from evo_agent.core.errors import EvoError, ModelError
from evo_agent.core.events import read_events
from evo_agent.core.types import Cost


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a model said in a run, in order.

    Attributes:
        source: the file it was read from.
        replies: one per model call.
        calls_tools: whether actions were tool calls (otherwise text).
        submission: the patch that the run submitted, as recorded; empty if unknown.
    """

    source: str
    replies: tuple[Reply, ...]
    calls_tools: bool
    submission: str = ""


def read_transcript(path: Path) -> Transcript:
    """Read a recorded run.

    Args:
        path: a run folder, its events.jsonl, or a mini-swe-agent JSON file.

    Raises:
        ModelError: it cannot be read, or holds no model's replies.
    """
    try:
        transcript = _read(path)
    except OSError as error:
        raise ModelError(
            f"the recorded run {path} cannot be read: {error.strerror}",
            "check the path after replay:",
        ) from error
    except (EvoError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} is not a recorded run: {error}",
            "give evo's events.jsonl, or a mini-swe-agent transcript (format 1 or 1.1)",
        ) from error
    if not transcript.replies:
        raise ModelError(f"{path} holds no model replies", "record a run with a model first")
    return transcript


def _read(path: Path) -> Transcript:
    if path.is_dir():
        return _from_events(path)
    if path.suffix == ".jsonl":
        return _from_events(path.parent)
    raw = json.loads(path.read_text("utf-8"))
    if "steps" in raw:
        messages, submission = raw["steps"], raw.get("submission")
    else:
        messages = [m for m in raw["messages"] if m.get("role") == "assistant"]
        submission = raw.get("info", {}).get("submission")
    replies = tuple(_reply(message) for message in messages)
    calls_tools = any(reply.tool_calls for reply in replies)
    return Transcript(str(path), replies, calls_tools, str(submission or ""))


def _reply(message: Mapping[str, Any]) -> Reply:
    calls = tuple(_tool_calls(message.get("tool_calls") or ()))
    return Reply(str(message.get("content") or ""), calls, Cost(model_calls=1), "recorded")


def _tool_calls(raw: Iterable[Mapping[str, Any]]) -> Iterable[ToolCall]:
    for number, call in enumerate(raw):
        function = call["function"]
        yield ToolCall(
            str(call.get("id") or f"call-{number}"),
            str(function["name"]),
            str(function["arguments"]),
        )


def _from_events(folder: Path) -> Transcript:
    events = tuple(read_events(folder))
    replies = tuple(from_json(Reply, e.data["value"]) for e in events if e.kind == "model-result")
    calls_tools = any(reply.tool_calls for reply in replies)
    for event in events:
        if event.kind == "run-start" and "config" in event.data:
            calls_tools = not event.data["config"]["model"]["text_actions"]
    return Transcript(str(folder), replies, calls_tools)
