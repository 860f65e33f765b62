"""Recorded runs played as models."""

import json
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.chat import Message, Reply, ToolCall
from evo_agent.core.config import Config, ModelConfig
from evo_agent.core.errors import ModelError
from evo_agent.core.events import RunLog
from evo_agent.core.models import make_model, read_transcript
from evo_agent.core.recorded import RecordedModel
from evo_agent.core.types import to_json

ASKED = (Message("user", "hello"),)
CALL = {
    "id": "call_7",
    "type": "function",
    "function": {"name": "bash", "arguments": '{"command": "ls"}'},
}


def played(path: Path, count: int) -> list[Reply]:
    model = make_model(ModelConfig(name=f"replay:{path}"))
    return [model.query(ASKED, ()) for _ in range(count)]


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), "utf-8")
    return path


def test_mini_format_1_is_played_as_text(tmp_path: Path) -> None:
    steps = [{"content": "```bash\nls\n```"}, {"content": "```bash\npwd\n```"}]
    path = write(tmp_path / "run.json", {"steps": steps, "submission": "diff"})
    assert [reply.content for reply in played(path, 2)] == ["```bash\nls\n```", "```bash\npwd\n```"]
    transcript = read_transcript(path)
    assert not transcript.calls_tools
    assert transcript.submission == "diff"


def test_mini_format_1_1_is_played_as_tool_calls(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "a.py", "tool_call_id": "call_7"},
    ]
    raw = {
        "info": {"submission": "diff"},
        "messages": messages,
        "trajectory_format": "mini-swe-agent-1.1",
    }
    path = write(tmp_path / "run.traj.json", raw)
    (reply,) = played(path, 1)
    assert reply.tool_calls == (ToolCall("call_7", "bash", '{"command": "ls"}'),)
    assert make_model(ModelConfig(name=f"replay:{path}")).calls_tools


def test_evos_own_log_is_played_to_the_byte(tmp_path: Path, model_server: Any) -> None:
    model_server.calls(("bash", {"command": "printf 'é\\n'"}), content="Zuerst…").say("done")
    real = make_model(ModelConfig(name="openai/fake", api_base=model_server.url))
    with RunLog.create(tmp_path / "run") as log:
        recorded = RecordedModel(real, log)
        said = [recorded.query(ASKED, ()) for _ in range(2)]
    assert played(tmp_path / "run", 2) == said
    assert played(tmp_path / "run" / "events.jsonl", 2) == said
    assert len(model_server.requests) == 2


@pytest.mark.parametrize("text_actions", [True, False])
def test_a_log_says_itself_whether_tools_were_called(
    tmp_path: Path, model_server: Any, *, text_actions: bool
) -> None:
    model_server.say("only words")
    config = ModelConfig("openai/fake", model_server.url, text_actions=text_actions)
    with RunLog.create(tmp_path / "run") as log:
        log.emit("run-start", config=to_json(Config(model=config)))
        RecordedModel(make_model(config), log).query(ASKED, ())
    assert read_transcript(tmp_path / "run").calls_tools is not text_actions


def test_a_recording_that_has_ended_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "run.json", {"steps": [{"content": "only"}]})
    model = make_model(ModelConfig(name=f"replay:{path}"))
    model.query(ASKED, ())
    with pytest.raises(ModelError, match="ended after 1 replies"):
        model.query(ASKED, ())


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.json", None, "cannot be read"),
        ("text.json", "not json", "not a recorded run"),
        ("list.json", "[]", "not a recorded run"),
        ("other.json", '{"hello": 1}', "not a recorded run"),
        ("calls.json", '{"steps": [{"tool_calls": [{}]}]}', "not a recorded run"),
        ("empty.json", '{"steps": []}', "holds no model replies"),
        ("log/events.jsonl", "", "holds no model replies"),
        ("gone/events.jsonl", None, "not a recorded run"),
    ],
)
def test_what_is_no_recording_is_named_in_one_line(
    tmp_path: Path, name: str, content: str | None, says: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, "utf-8")
    with pytest.raises(ModelError, match=says) as caught:
        make_model(ModelConfig(name=f"replay:{path}"))
    assert "\n" not in caught.value.cause
    assert caught.value.remedy
