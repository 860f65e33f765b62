"""OpenAI's chat completions API, which litellm speaks for every provider, in evo's words."""

import os
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from evo_agent.core.chat import Message, Reply, ToolCall, ToolSpec
from evo_agent.core.config import ModelConfig
from evo_agent.core.models.failures import NonsenseError
from evo_agent.core.types import Cost

_CHARACTERS_PER_TOKEN = 4  # where a provider does not report usage


def request(
    config: ModelConfig, messages: Sequence[Message], tools: Sequence[ToolSpec]
) -> dict[str, Any]:
    """Build the keyword arguments of litellm.completion."""
    asked: dict[str, Any] = {
        "model": config.name,
        "messages": [_message(message) for message in messages],
        "temperature": config.temperature,
        "max_tokens": config.max_output_tokens,
        "timeout": config.timeout,
        "max_retries": 0,  # tried again here, where it is counted
        "num_retries": 0,
    }
    if tools and not config.text_actions:
        asked["tools"] = [_tool(tool) for tool in tools]
    if config.api_base:
        asked["api_base"] = config.api_base
        if config.name.startswith("openai/") and not os.environ.get("OPENAI_API_KEY"):
            asked["api_key"] = "none"  # local servers want none, the client insists on one
    return asked


def _message(message: Message) -> dict[str, Any]:
    content = message.content.encode("utf-8", "replace").decode()  # lone surrogates are no JSON
    shown: dict[str, Any] = {"role": message.role, "content": content}
    if message.tool_calls:
        shown["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        shown["tool_call_id"] = message.tool_call_id
    return shown


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    return {"type": "function", "function": function}


def reply(litellm: ModuleType, response: Any, asked: Sequence[Message]) -> Reply:
    """Read an answer.

    Args:
        litellm: for the model's price.
        response: what litellm.completion returned.
        asked: the messages sent, from which tokens are estimated if they are not reported.

    Raises:
        NonsenseError: it holds no message.
    """
    choices = getattr(response, "choices", None)
    if not choices or getattr(choices[0], "message", None) is None:
        raise NonsenseError("the answer holds no choices")
    message = choices[0].message
    calls = tuple(_tool_calls(getattr(message, "tool_calls", None) or ()))
    content = message.content if isinstance(message.content, str) else ""
    return Reply(
        content=content,
        tool_calls=calls,
        cost=_cost(litellm, response, content, asked),
        model=str(getattr(response, "model", "") or ""),
        finish_reason=str(getattr(choices[0], "finish_reason", "") or ""),
    )


def _tool_calls(raw: Sequence[Any]) -> list[ToolCall]:
    return [
        ToolCall(
            str(call.id or f"call-{number}"),
            str(call.function.name or ""),
            str(call.function.arguments or ""),
        )
        for number, call in enumerate(raw)
    ]


def _cost(litellm: ModuleType, response: Any, content: str, asked: Sequence[Message]) -> Cost:
    usage = getattr(response, "usage", None)
    prompt = sum(len(message.content) for message in asked) // _CHARACTERS_PER_TOKEN
    return Cost(
        model_calls=1,
        input_tokens=int(getattr(usage, "prompt_tokens", None) or prompt),
        output_tokens=int(
            getattr(usage, "completion_tokens", None) or len(content) // _CHARACTERS_PER_TOKEN
        ),
        dollars=_dollars(litellm, response),
    )


def _dollars(litellm: ModuleType, response: Any) -> float | None:
    try:
        price = litellm.completion_cost(completion_response=response)
    except Exception:  # noqa: BLE001 - foreign code; a model without a price is no error
        return None
    return float(price) if price else None
