"""The litellm client against a real HTTP server that speaks OpenAI's API."""

import socket
import subprocess
import sys
import textwrap
from dataclasses import replace
from typing import Any

import pytest

from evo_agent.core.chat import Message, ToolSpec
from evo_agent.core.config import ModelConfig
from evo_agent.core.errors import ModelError, UsageError
from evo_agent.core.models import LiteLLMModel, client, make_model

TOOLS = (
    ToolSpec(
        "bash",
        "run a command",
        {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
    ),
)
ASKED = (Message("system", "be brief"), Message("user", "hello"))


class Sleeps(list[float]):
    """Waits in no time, and remembers how long it should have been."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


@pytest.fixture
def model(model_server: Any, sleeps: Sleeps, monkeypatch: pytest.MonkeyPatch) -> LiteLLMModel:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    config = ModelConfig(name="openai/fake", api_base=model_server.url, retries=2, timeout=10)
    return LiteLLMModel(config, sleeps)


def failure(model: LiteLLMModel) -> ModelError:
    with pytest.raises(ModelError) as caught:
        model.query(ASKED, TOOLS)
    assert "\n" not in caught.value.cause
    assert "\n" not in caught.value.remedy
    assert caught.value.remedy
    return caught.value


def test_a_reply_carries_tokens_and_says_when_the_price_is_unknown(
    model: LiteLLMModel, model_server: Any
) -> None:
    model_server.say("hi", usage=(120, 7))
    reply = model.query(ASKED, ())
    assert (reply.content, reply.tool_calls, reply.finish_reason) == ("hi", (), "stop")
    assert (reply.cost.input_tokens, reply.cost.output_tokens) == (120, 7)
    assert reply.cost.model_calls == 1
    assert reply.cost.dollars is None
    assert reply.cost.seconds > 0


def test_the_price_of_a_known_model_is_counted(
    model_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-real-key-0000")
    model_server.say("hi", usage=(1_000_000, 0), model="gpt-4o")
    known = LiteLLMModel(ModelConfig(name="openai/gpt-4o", api_base=model_server.url))
    dollars = known.query(ASKED, ()).cost.dollars
    assert dollars is not None
    assert 0.1 < dollars < 100
    assert model_server.headers[0]["Authorization"] == "Bearer sk-not-a-real-key-0000"


def test_tool_calls_go_there_and_back_in_the_apis_shape(
    model: LiteLLMModel, model_server: Any
) -> None:
    model_server.calls(("bash", {"command": "ls"}), content="Let me look.").say("done")
    first = model.query(ASKED, TOOLS)
    (call,) = first.tool_calls
    assert (call.name, call.arguments) == ("bash", '{"command": "ls"}')
    turn = (
        *ASKED,
        Message("assistant", first.content, first.tool_calls),
        Message("tool", "a.py", tool_call_id=call.id),
    )
    model.query(turn, TOOLS)
    function = model_server.requests[0]["tools"][0]["function"]
    assert function["name"] == "bash"
    assert function["parameters"]["required"] == ["command"]
    assistant, tool = model_server.requests[1]["messages"][-2:]
    assert assistant["tool_calls"][0]["function"]["arguments"] == '{"command": "ls"}'
    assert (tool["role"], tool["tool_call_id"], tool["content"]) == ("tool", call.id, "a.py")


def test_text_mode_sends_no_tools(model_server: Any) -> None:
    model_server.say("```bash\nls\n```")
    config = ModelConfig(name="openai/fake", api_base=model_server.url, text_actions=True)
    text_model = make_model(config)
    assert not text_model.calls_tools
    text_model.query(ASKED, TOOLS)
    assert "tools" not in model_server.requests[0]


def test_an_answer_without_content_or_usage_is_still_counted(
    model: LiteLLMModel, model_server: Any
) -> None:
    model_server.raw(b'{"choices": [{"message": {"role": "assistant", "content": null}}]}')
    reply = model.query((Message("user", "x" * 400),), ())
    assert reply.content == ""
    assert reply.cost.input_tokens == 100


def test_overload_is_waited_out_and_the_providers_wish_is_heard(
    model: LiteLLMModel, model_server: Any, sleeps: Sleeps
) -> None:
    model_server.fail(500).fail(429, retry_after=7).say("at last")
    told: list[str] = []
    patient = LiteLLMModel(model._config, sleeps, told.append)
    assert patient.query(ASKED, ()).content == "at last"
    assert sleeps == [1.0, 7.0]
    assert [line.rpartition("; ")[2] for line in told] == [
        "trying again in 1 s",
        "trying again in 7 s",
    ]


def test_waits_double_and_retries_run_out(
    model_server: Any, sleeps: Sleeps, model: LiteLLMModel
) -> None:
    for _ in range(3):
        model_server.fail(503, "overloaded\nfor \x1b[31mnow")
    assert "overloaded for [31mnow" in failure(model).cause
    assert sleeps == [1.0, 2.0]
    assert len(model_server.requests) == 3


@pytest.mark.parametrize(
    ("status", "message", "shown"),
    [
        (401, "Incorrect API key provided: sk-abcdef123456", ("refused (401)", "API key")),
        (403, "not for you", ("refused (403)", "choose another model")),
        (404, "The model `fake` does not exist", ("refused (404)", "model.name")),
        (400, "This model's maximum context length is 8192 tokens", ("too long", "context_tokens")),
        (429, "You exceeded your current quota: insufficient_quota", ("quota", "billing")),
    ],
)
def test_what_would_be_refused_again_is_not_asked_again(
    model: LiteLLMModel, model_server: Any, status: int, message: str, shown: tuple[str, str]
) -> None:
    model_server.fail(status, message).say("never reached")
    error = failure(model)
    assert shown[0] in error.cause
    assert shown[1] in error.remedy
    assert "sk-abcdef" not in error.cause
    assert len(model_server.requests) == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html><body>502 Bad Gateway</body></html>", "text/html"),
        (b"{nonsense", "application/json"),
        (b"[1, 2]", "application/json"),
        (b'{"hello": 1}', "application/json"),
        (b'{"id": "x", "object": "chat.completion", "choices": []}', "application/json"),
        (b"", "application/json"),
    ],
)
def test_an_endpoint_that_answers_nonsense_is_tried_again_then_named(
    model: LiteLLMModel, model_server: Any, body: bytes, kind: str
) -> None:
    for _ in range(3):
        model_server.raw(body, kind)
    error = failure(model)
    assert model_server.url in error.cause
    assert "model.api_base" in error.remedy
    assert len(model_server.requests) == 3


def test_nothing_listens_there(sleeps: Sleeps) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}/v1"
    error = failure(LiteLLMModel(ModelConfig("openai/fake", base, retries=1), sleeps))
    assert base in error.cause
    assert sleeps == [1.0]


def test_a_server_that_never_answers_and_one_that_drips_are_both_given_up(
    model: LiteLLMModel, model_server: Any, sleeps: Sleeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_GRACE", 0.1)
    impatient = LiteLLMModel(replace(model._config, timeout=0.3, retries=1), sleeps)
    model_server.hang(20).drip(20)
    assert "no whole answer" in failure(impatient).cause
    assert len(sleeps) == 1


def test_a_model_without_provider_or_name_is_a_usage_matter(sleeps: Sleeps) -> None:
    error = failure(LiteLLMModel(ModelConfig("nosuchprovider"), sleeps))
    assert "provider/model" in error.remedy
    with pytest.raises(UsageError, match="no model"):
        make_model(ModelConfig())


def test_a_missing_key_is_named_at_once(sleeps: Sleeps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    error = failure(LiteLLMModel(ModelConfig("openai/gpt-4o"), sleeps))
    assert "OPENAI_API_KEY" in error.remedy
    assert sleeps == []


def test_keys_of_the_environment_never_reach_a_message(
    model: LiteLLMModel, model_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_API_KEY", "quite-a-secret-value")
    model_server.fail(403, "key quite-a-secret-value is blocked")
    assert "quite-a-secret-value" not in failure(model).cause


def fresh_process(code: str, *args: str) -> str:
    """Run code in a fresh interpreter with warnings as errors; it must print nothing else."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def test_a_fresh_process_calls_a_tool_quietly_and_imports_litellm_only_then(
    model_server: Any,
) -> None:
    model_server.call("bash", command="ls").fail(401, "wrong")
    printed = fresh_process(
        """
        import os, sys
        from evo_agent.core.config import ModelConfig
        from evo_agent.core.errors import ModelError
        from evo_agent.core.models import make_model, warm
        from evo_agent.core.chat import Message, ToolSpec

        model = make_model(ModelConfig("openai/fake", sys.argv[1]))
        assert not {"litellm", "openai", "httpx"} & set(sys.modules)
        warm().join()
        assert "litellm" in sys.modules
        tool = ToolSpec("bash", "run", {"type": "object", "properties": {}})
        print(model.query([Message("user", "hi")], [tool]).tool_calls[0].name)
        try:
            model.query([Message("user", "hi")], [])
        except ModelError as error:
            print(error.cause)
        # nothing beside litellm's own folder (a repository's .env) is loaded, no price is fetched
        assert os.environ["LITELLM_MODE"] == "PRODUCTION"
        assert os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"
        """,
        model_server.url,
    )
    assert printed.splitlines()[0] == "bash"
    assert printed.splitlines()[1].endswith("refused (401): wrong")
    assert len(printed.splitlines()) == 2


def test_without_litellm_the_extra_is_named() -> None:
    printed = fresh_process(
        """
        import sys
        sys.modules["litellm"] = None  # as if it were not installed
        from evo_agent.core.config import ModelConfig
        from evo_agent.core.errors import MissingDependencyError
        from evo_agent.core.models import make_model, warm
        from evo_agent.core.chat import Message
        warm().join()
        try:
            make_model(ModelConfig("openai/fake")).query([Message("user", "hi")], [])
        except MissingDependencyError as error:
            print(error.remedy)
        """
    )
    assert printed == "pip install 'evo-agent[agent]'\n"
