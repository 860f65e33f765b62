"""A GitHub for tests, over real HTTP: the REST shapes, and git's smart protocol for pushes.

Answers follow https://docs.github.com/rest (issues, pulls, rate limits, moved issues).
"""

import json
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Seen:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class GitHubServer:
    """Answers from a table of path to a list of answers; the last one is repeated."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    repositories: Path | None = None

    def __enter__(self) -> Self:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._answer))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def json(self, path: str, status: int, body: Any, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.setdefault(path, []).append((status, named, json.dumps(body).encode()))

    def raw(self, path: str, status: int, body: bytes, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.setdefault(path, []).append((status, named, body))

    def _answer(self, request: Seen) -> Answer:
        self.seen.append(request)
        path, _, query = request.path.partition("?")
        if self.repositories is not None and ".git/" in path:
            return self._backend(request, path, query)
        queue = self.answers.get(path)
        if not queue:
            body = b'{"message": "Not Found", "documentation_url": "https://docs.github.com/rest"}'
            return 404, {}, body
        return queue.pop(0) if len(queue) > 1 else queue[0]

    def _backend(self, request: Seen, path: str, query: str) -> Answer:
        """git-http-backend(1)."""
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.repositories),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "pusher",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(request.body)),
            "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        argv = ["git", "http-backend"]
        done = subprocess.run(argv, env=env, input=request.body, capture_output=True, check=True)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        return int(headers.pop("Status", "200").split()[0]), headers, body


def _handler(answer: Callable[[Seen], Answer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen = Seen(self.command, self.path, headers, body)
            status, extra, content = answer(seen)
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **extra}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _do  # noqa: N815 http.server's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 its signature
            """Stay quiet."""

    return Handler
