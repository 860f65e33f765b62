"""What a provider's failure means: ask again, or tell the person in one line."""

import os
import re
from dataclasses import dataclass

from evo_agent.core.errors import ModelError

_LINE = 240  # characters of a provider's message that a person is shown
_SECRET_NAMES = re.compile(r"(_KEY|_TOKEN|_SECRET|_PASSWORD)$")
_SECRET_SHAPES = re.compile(r"\b(sk|pk|key|ghp|hf|xai|gsk)[-_][A-Za-z0-9_\-*]{8,}|Bearer\s+\S+")
_QUOTA = ("insufficient_quota", "exceeded your current quota", "billing")
_NO_KEY = "Missing credentials"  # the OpenAI client's words, which litellm reports as a 500
_PREFIXES = re.compile(r"^((litellm\.)?\w+(Error|Exception|Timeout)\w*(:| -) ?)+")
_PERMANENT = {  # HTTP status to remedy: asking again would be answered alike
    400: "check model.name and the provider's documentation for what it accepts",
    401: "set the provider's API key (OPENAI_API_KEY, ANTHROPIC_API_KEY, …)",
    402: "the provider wants payment: check the account",
    403: "the key may not use this model: check the account, or choose another model",
    404: "check model.name and model.api_base: the endpoint does not know this model",
    405: "check model.api_base: it is not a chat completions endpoint",
    413: "lower model.context_tokens",
    422: "check model.name and the provider's documentation for what it accepts",
}


class NonsenseError(Exception):
    """The endpoint answered, but not with a chat completion."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed call, understood.

    Attributes:
        error: what to raise when it is not tried again.
        again: whether trying again may help.
        wait: seconds that the provider asked to wait, if it did.
    """

    error: ModelError
    again: bool
    wait: float | None = None


def understand(error: Exception, model: str, api_base: str = "") -> Failure:
    """Turn whatever the client library raised into a Failure.

    Args:
        error: litellm's exception, or any other that came out of its call.
        model: the model's name as configured.
        api_base: the configured endpoint, for the message.
    """
    where = f"{model} at {api_base}" if api_base else model
    text = one_line(getattr(error, "message", "") or str(error) or type(error).__name__)
    status = 401 if _NO_KEY in text else getattr(error, "status_code", None)
    if type(error).__name__ == "ContextWindowExceededError":
        return _final(f"the prompt is too long for {where}: {text}", "lower model.context_tokens")
    if "LLM Provider NOT provided" in text:
        return _final(
            f"no provider is known for the model {model!r}",
            "write it as provider/model, for example openai/NAME with model.api_base",
        )
    if status == 429 and any(word in text for word in _QUOTA):  # noqa: PLR2004 - HTTP's number
        return _final(f"{where}: the quota is used up: {text}", "check the account's billing")
    if status in _PERMANENT and not isinstance(error, NonsenseError):
        return _final(f"{where} refused ({status}): {text}", _PERMANENT[status])
    return Failure(
        ModelError(
            f"{where} does not answer as a model should: {text}",
            "check that the endpoint is up and model.api_base is right, then `evo runs resume`",
        ),
        again=True,
        wait=_retry_after(error),
    )


def one_line(text: str) -> str:
    """A provider's message on one line, bounded, with no secret in it."""
    for name, value in os.environ.items():
        if _SECRET_NAMES.search(name) and len(value) >= 6:  # noqa: PLR2004 - shorter is no key
            text = text.replace(value, "***")
    text = " ".join(_SECRET_SHAPES.sub("***", text).split())
    text = "".join(filter(str.isprintable, _PREFIXES.sub("", text) or text))
    return text if len(text) <= _LINE else text[: _LINE - 1] + "…"


def _final(cause: str, remedy: str) -> Failure:
    return Failure(ModelError(cause, remedy), again=False)


def _retry_after(error: Exception) -> float | None:
    headers = getattr(error, "litellm_response_headers", None) or {}
    try:
        return float(headers["retry-after"])
    except (KeyError, TypeError, ValueError):
        return None
