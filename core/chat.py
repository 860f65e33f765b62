"""The words of a conversation with a model: messages, tools, replies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evo_agent.core.types import Cost


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's request to run a tool; `arguments` is the raw JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation, in the shape every chat API shares."""

    role: str  # system | user | assistant | tool
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as shown to a model; `parameters` is a JSON schema object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer."""

    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    cost: Cost = field(default_factory=Cost)
    model: str = ""
    finish_reason: str = ""
