"""Commands on this machine, with no isolation at all: only when a person asks for it by name.

Each command has a process group of its own and a scrubbed environment. It can still read and
change whatever the person who runs evo can, and a child that calls setsid is found by a mark
in its environment, which a hostile one can remove.
"""

import contextlib
import os
import secrets
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from evo_agent.core.confinement import SandboxSpec
from evo_agent.core.errors import SandboxError
from evo_agent.core.protocols import Tree
from evo_agent.core.types import CommandResult
from evo_agent.sandboxes.base import WorkspaceSandbox
from evo_agent.sandboxes.network import build_environment, ca_bundle
from evo_agent.sandboxes.output import Output
from evo_agent.sandboxes.process import end, kill_group, spawn
from evo_agent.sandboxes.shell import TIMED_OUT

WARNING = "no isolation: commands run on this machine, as you (--sandbox local)"
_MARK = "EVO_SANDBOX"
_SWEEPS, _SWEEP_SECONDS = 200, 0.01  # of looking for marked processes until none is left
_DRAIN = 0.2  # seconds for output that is still in the pipe when the command has ended


class LocalSandbox(WorkspaceSandbox):
    """See core.protocols.Sandbox. `root` is the workspace's own path."""

    def __init__(self, spec: SandboxSpec, tree: Tree | None) -> None:
        super().__init__(spec, tree)
        self._mark = secrets.token_hex(8)

    @property
    def name(self) -> str:
        """The backend."""
        return "local"

    @property
    def root(self) -> str:
        """The workspace's path on this machine: nothing is mounted."""
        return str(self._spec.workspace.resolve())

    @property
    def not_limited(self) -> tuple[str, ...]:
        """Limits that are not enforced here: all but the output's."""
        return ("memory", "cpus", "processes", "tmp", "network", "files")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person must be told."""
        return (WARNING,)

    def exec(self, command: str, *, timeout: float = 60.0) -> CommandResult:
        """Run a bash command in a new process group. See core.protocols.Sandbox."""
        if self._closed:
            raise SandboxError("the sandbox is closed")
        if "\0" in command:
            return CommandResult(126, "bash: a command cannot hold a NUL byte\n")
        output = Output(self._spec.limits.output_bytes, self._spec.spool)
        start = time.monotonic()
        process = self._start(command)
        try:
            timed_out = not _collect(process, output, start + timeout)
            if timed_out:
                self._kill(process)
            duration = time.monotonic() - start
            whole = output.finish()
        finally:
            output.discard()
            end(process, 0)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        code = TIMED_OUT if timed_out else process.returncode
        code = 128 - code if code < 0 else code
        return CommandResult(code, output.text(), output.truncated, duration, timed_out, whole)

    def read(self, path: str) -> bytes:
        """Bytes of a file. See core.protocols.Sandbox."""
        place = self._place(path)
        if not place.is_file():
            raise FileNotFoundError(f"no such file in the sandbox: {path}")
        return place.read_bytes()

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a file, with its parent directories."""
        place = self._place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)

    def close(self) -> None:
        """Kill what its commands left behind."""
        if not self._closed:
            self._closed = True
            self._kill_marked()

    def _hand_over(self) -> None:
        """Nothing: commands run as whoever runs evo."""

    def _place(self, path: str) -> Path:
        if "\0" in path or not path:
            raise FileNotFoundError(f"not a file name: {path!r}")
        return Path(self.root, path)

    def _start(self, command: str) -> "subprocess.Popen[bytes]":
        variables = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": self.root,
            "LANG": "C.UTF-8",
            "PAGER": "cat",
            "GIT_PAGER": "cat",
            **(build_environment(ca_bundle()) if self._spec.network else {}),
            **self._spec.env,
            _MARK: self._mark,
        }
        script = 'exec 2>&1 </dev/null; cd "$1" && exec bash -c "$2"'
        try:
            return spawn(["bash", "-c", script, "evo", self.root, command], variables)
        except OSError as error:
            raise SandboxError(f"bash cannot be started: {error}") from error

    def _kill(self, process: "subprocess.Popen[bytes]") -> None:
        kill_group(process)
        self._kill_marked()

    def _kill_marked(self) -> None:
        """Kill every marked process, and see each gone: one may start others meanwhile."""
        for _ in range(_SWEEPS):
            marked = list(self._marked())
            if not marked:
                return
            for process in marked:
                with contextlib.suppress(OSError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(_SWEEP_SECONDS)

    def _marked(self) -> Iterator[int]:
        mark = f"{_MARK}={self._mark}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name)


def _collect(process: "subprocess.Popen[bytes]", output: Output, deadline: float) -> bool:
    """Read until the command has ended (children may hold the pipe); False when time ran out."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    ended = 0.0
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            if process.poll() is not None:
                ended = ended or now
            elif now >= deadline:
                return False
            if selector.select(0.02):
                data = os.read(descriptor, 1 << 16)
                if not data:
                    return _wait(process, deadline)
                output.feed(data)
            elif ended:
                return True
            if ended and now - ended > _DRAIN:
                return True


def _wait(process: "subprocess.Popen[bytes]", deadline: float) -> bool:
    """A command may close its output long before it ends."""
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True
