"""Make one tool call through an installed evo-agent[agent]: litellm, HTTP and all.

    VENV/bin/python scripts/wheel_smoke.py

Some litellm releases cannot call tools on a fresh install (1.106 wants `mcp`), which no test
in a development environment notices. The model is a local server that speaks OpenAI's chat
completions API and refuses requests that offer no tool. Exits 1 when anything is amiss.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import evo_agent
from evo_agent.core.chat import Message, Reply, ToolSpec
from evo_agent.core.config import ModelConfig
from evo_agent.core.models import make_model

CHECKOUT = Path(__file__).resolve().parent.parent
TOOL = ToolSpec(
    "bash",
    "Run a command.",
    {
        "type": "object",
        "properties": {"command": {"type": "string"}},
        "required": ["command"],
    },
)


class Endpoint(BaseHTTPRequestHandler):
    """Answers every chat completion with a call of the first tool that was offered."""

    def do_POST(self) -> None:
        """Answer one request."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        offered = [tool["function"]["name"] for tool in request.get("tools", ())]
        body = json.dumps(completion(offered[0])) if offered else '{"error": {"message": "tools?"}}'
        self.send_response(200 if offered else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
        """Say nothing."""


def completion(tool: str) -> dict[str, Any]:
    """A chat completion that calls `tool`, in the shape of OpenAI's API reference."""
    function = {"name": tool, "arguments": '{"command": "echo evo"}'}
    call = {"id": "call_0", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def ask(port: int) -> Reply:
    """Query the endpoint at `port`, offering one tool."""
    config = ModelConfig(
        name="openai/scripted", api_base=f"http://127.0.0.1:{port}/v1", timeout=30, retries=0
    )
    return make_model(config).query((Message("user", "Say evo."),), (TOOL,))


def main() -> int:
    """Run it; 0 when the call arrived as it was made."""
    if Path(evo_agent.__file__).is_relative_to(CHECKOUT):
        sys.stderr.write("evo_agent comes from the checkout, not from an installed wheel\n")
        return 1
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        reply = ask(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
    calls = [(call.name, json.loads(call.arguments)) for call in reply.tool_calls]
    sys.stdout.write(f"tool call through litellm {version('litellm')}: {calls}\n")
    return 0 if calls == [("bash", {"command": "echo evo"})] else 1


if __name__ == "__main__":
    sys.exit(main())
