"""A chat model made of a script: a real HTTP server that speaks OpenAI's chat completions API.

The `model_server` fixture (conftest.py) gives one. Each request takes the next entry of the
script, in order:

    server.say("text")                       an assistant message
    server.call("bash", command="ls")        one tool call (several calls: server.calls(...))
    server.fail(429, retry_after=0)          an HTTP error, in OpenAI's shape
    server.raw(b"<html>", "text/html")       any body
    server.hang(2.0)                         no answer for that long, then the line is cut
    server.drip(2.0)                         the start of an answer, byte by byte, for that long
    server.then(lambda request: ...)         whatever the function returns, for computed replies

`server.url` is the api_base; `server.requests` holds every decoded request body, in order, and
`server.headers` their headers. A request beyond the script gets a 400 that says so.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What one request gets back."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: float = 0.0
    drip: float = 0.0


def completion(
    content: str,
    calls: tuple[Json, ...] = (),
    *,
    usage: tuple[int, int] = (10, 5),
    finish: str = "",
    model: str = "scripted",
) -> Answer:
    """Build an answer in the API's shape; `calls` are {"name", "arguments"[, "id"]}."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = [
            {
                "id": call.get("id") or f"call_{number}",
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for number, call in enumerate(calls)
        ]
    body = {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": finish or ("tool_calls" if calls else "stop"),
            }
        ],
        "usage": {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
        },
    }
    return Answer(json.dumps(body).encode())


class ScriptedServer:
    """The server; context-managed, on a free port of the loopback interface."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._script: deque[Answer | Callable[[dict[str, Any]], Answer]] = deque()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._http = _Http(self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """What to give as api_base."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def say(self, text: str, **shape: Any) -> Self:
        return self._add(completion(text, **shape))

    def call(self, tool: str, /, **arguments: Any) -> Self:
        return self.calls((tool, arguments))

    def calls(self, *calls: tuple[str, Json | str], content: str = "", **shape: Any) -> Self:
        """Add one message with several tool calls; string arguments are sent as they are."""
        shaped = tuple(
            {"name": name, "arguments": raw if isinstance(raw, str) else json.dumps(raw)}
            for name, raw in calls
        )
        return self._add(completion(content, shaped, **shape))

    def fail(self, status: int, message: str = "scripted failure", **headers: Any) -> Self:
        body = {"error": {"message": message, "type": "scripted", "code": str(status)}}
        named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
        return self._add(Answer(json.dumps(body).encode(), status, headers=named))

    def raw(self, body: bytes, content_type: str = "application/json", status: int = 200) -> Self:
        return self._add(Answer(body, status, content_type))

    def hang(self, seconds: float) -> Self:
        return self._add(Answer(hang=seconds))

    def drip(self, seconds: float) -> Self:
        return self._add(Answer(b"{" + b" " * 1000, drip=seconds))

    def then(self, answer: Callable[[dict[str, Any]], Answer]) -> Self:
        self._script.append(answer)
        return self

    def _add(self, answer: Answer) -> Self:
        self._script.append(answer)
        return self

    def answer(self, request: dict[str, Any], headers: dict[str, str]) -> Answer:
        with self._lock:
            self.requests.append(request)
            self.headers.append(headers)
            entry = self._script.popleft() if self._script else None
        if entry is None:
            body = {"error": {"message": "the script has ended", "type": "scripted"}}
            return Answer(json.dumps(body).encode(), 400)
        return entry(request) if callable(entry) else entry

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond the server's end."""
        self._stopping.wait(seconds)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # kept-alive connections end with their client

    def __init__(self, script: ScriptedServer) -> None:
        self.script = script
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        request = json.loads(self.rfile.read(length) or b"{}")
        assert isinstance(self.server, _Http)
        script = self.server.script
        answer = script.answer(request, dict(self.headers.items()))
        if answer.hang:
            script.wait(answer.hang)
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if answer.drip:
            for byte in answer.body[: int(answer.drip / 0.05)]:
                self.wfile.write(bytes((byte,)))
                script.wait(0.05)
            self.close_connection = True
            return
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing on stderr."""
