"""Any provider's chat model, through litellm.

litellm takes 2-3 s to import, so `warm` starts that in the background while the sandbox
starts; nothing here imports it before. What litellm would do on its own is turned off first:
fetching its price map, loading a `.env` file found above its own folder (which may be the
repository's, and could point the key elsewhere), telemetry, and printing.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import Any

from evo_agent.core.chat import Message, Reply, ToolSpec
from evo_agent.core.config import ModelConfig
from evo_agent.core.errors import MissingDependencyError
from evo_agent.core.models import wire
from evo_agent.core.models.failures import NonsenseError, understand

FIRST_WAIT = 1.0  # seconds before the second try; doubles with every further one
LONGEST_WAIT = 60.0
_GRACE = 5.0  # seconds that the client's own time-out may be late

_import_lock = threading.Lock()


def warm() -> threading.Thread:
    """Start importing litellm in the background; a failure shows at the first query."""

    def load() -> None:
        try:
            _litellm()
        except MissingDependencyError:
            return  # the first query says so, to the person who waits for it

    thread = threading.Thread(target=load, name="import litellm", daemon=True)
    thread.start()
    return thread


def _litellm() -> ModuleType:
    with _import_lock:
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        os.environ["LITELLM_MODE"] = "PRODUCTION"
        try:
            module = import_module("litellm")
        except ImportError as error:
            raise MissingDependencyError(
                f"litellm is needed to call a model, and cannot be imported: {error}",
                "pip install 'evo-agent[agent]'",
            ) from error
    settings: dict[str, object] = {
        "telemetry": False,
        "suppress_debug_info": True,
        "set_verbose": False,
        "drop_params": True,  # a parameter that a model does not take is left out
    }
    for name, value in settings.items():
        setattr(module, name, value)
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return module


class LiteLLMModel:
    """A chat model behind litellm.

    Args:
        config: name, endpoint, limits of one call.
        sleep: waits between tries.
        tell: told in one line before each wait, why and how long.
    """

    def __init__(
        self,
        config: ModelConfig,
        sleep: Callable[[float], None] = time.sleep,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._config = config
        self._sleep = sleep
        self._tell = tell

    @property
    def name(self) -> str:
        """The model's name, as configured."""
        return self._config.name

    @property
    def calls_tools(self) -> bool:
        """Whether tool calls are used (model.text_actions turns them off)."""
        return not self._config.text_actions

    def query(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """Ask, trying again with exponential backoff while that may help.

        Raises:
            ModelError: refused, or still failing after model.retries further tries.
            MissingDependencyError: litellm is not installed.
        """
        litellm = _litellm()
        request = wire.request(self._config, messages, tools)
        started = time.monotonic()
        for attempt in range(self._config.retries + 1):
            try:
                reply = wire.reply(litellm, self._ask(litellm, request), messages)
            except Exception as error:  # noqa: BLE001 - foreign code, raising anything
                self._wait_or_raise(error, attempt)
            else:
                seconds = time.monotonic() - started
                return replace(reply, cost=replace(reply.cost, seconds=seconds))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _ask(self, litellm: ModuleType, request: Mapping[str, Any]) -> Any:
        """One call, in a thread of its own.

        Of its own because the client's timeout is for each read, and a server that sends a byte
        now and then would hold the run for ever; and because litellm leaves an event loop open
        in the thread that it is called from.
        """
        answers: SimpleQueue[tuple[Any, Exception | None]] = SimpleQueue()

        def call() -> None:
            try:
                answers.put((litellm.completion(**request), None))
            except Exception as error:  # noqa: BLE001 - foreign code, raising anything
                answers.put((None, error))

        threading.Thread(target=call, name="model call", daemon=True).start()
        try:
            answer, error = answers.get(timeout=self._config.timeout + _GRACE)
        except Empty:
            raise NonsenseError(f"no whole answer in {self._config.timeout:g} s") from None
        if error is not None:
            raise error
        return answer

    def _wait_or_raise(self, error: Exception, attempt: int) -> None:
        failure = understand(error, self.name, self._config.api_base)
        if not failure.again or attempt >= self._config.retries:
            raise failure.error from error
        asked_for = failure.wait if failure.wait is not None else FIRST_WAIT * 2**attempt
        wait = min(asked_for, LONGEST_WAIT)
        self._tell(f"{failure.error.cause}; trying again in {wait:g} s")
        self._sleep(wait)
