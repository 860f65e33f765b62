"""What the sandboxes share: the workspace's host side, and commands through a persistent shell."""

import os
import shlex
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from evo_agent.core.confinement import SandboxSpec
from evo_agent.core.errors import SandboxError
from evo_agent.core.protocols import Tree
from evo_agent.core.types import CommandResult
from evo_agent.sandboxes.output import Everything, Output
from evo_agent.sandboxes.shell import (
    KILLED,
    TIMED_OUT,
    Channel,
    ChannelClosedError,
    Shell,
    Sink,
)

SANDBOX_ID = 1000  # uid and gid inside, and outside too when evo runs as root
READ_BYTES = 64 * 1024 * 1024  # largest file that `read` gives
_FILE_SECONDS = 60.0
_MISSING = 66  # EX_NOINPUT of sysexits.h
_RESTARTED = b"\n[the sandbox's shell was killed and started anew]\n"
_BASE_ENV = {
    "HOME": "/tmp",  # noqa: S108 (inside the sandbox, a file system of its own)
    "USER": "evo",
    "LOGNAME": "evo",
    "LANG": "C.UTF-8",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    # the workspace's owner is whoever runs evo; inside, that is nobody git should ask about
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}


def identity() -> tuple[int, int]:
    """The uid and gid that commands run as: never root's."""
    if os.geteuid() == 0:
        return SANDBOX_ID, SANDBOX_ID
    return os.geteuid(), os.getegid()


def environment(spec: SandboxSpec) -> dict[str, str]:
    """Variables for every command: a few fixed ones and the spec's; none of the host's."""
    return {**_BASE_ENV, **spec.env}


def hand_over(folder: Path) -> None:
    """Make a tree belong to the sandbox's user, when evo is root; links are not followed."""
    if os.geteuid() != 0:
        return
    uid, gid = identity()
    for _, folders, files, here in os.fwalk(folder, follow_symlinks=False):
        _own(here, ".", uid, gid)
        for name in (*folders, *files):
            _own(here, name, uid, gid)


def _own(folder: int, name: str, uid: int, gid: int) -> None:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if (status.st_uid, status.st_gid) != (uid, gid):
        os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)


class WorkspaceSandbox(ABC):
    """The part of a sandbox that does not depend on how commands run."""

    def __init__(self, spec: SandboxSpec, tree: Tree | None) -> None:
        self._spec = spec
        self._tree = tree
        self._closed = False
        if not spec.workspace.is_dir():
            raise SandboxError(f"the workspace {spec.workspace} is not there")
        self._hand_over()

    @property
    def root(self) -> str:
        """Absolute path of the workspace inside."""
        return self._spec.root

    @property
    def not_limited(self) -> tuple[str, ...]:
        """Limits that are not enforced here, by name."""
        return ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person must be told about this sandbox, one line each."""
        return ()

    @abstractmethod
    def close(self) -> None:
        """End it."""

    def diff(self) -> str:
        """The workspace against its base, computed by the host."""
        return self._tracked().diff()

    def snapshot(self) -> str:
        """The workspace's present tree, as an id."""
        return self._tracked().snapshot()

    def restore(self, tree: str) -> None:
        """Bring the workspace back to a snapshot."""
        self._tracked().restore(tree)
        self._hand_over()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _tracked(self) -> Tree:
        if self._tree is None:
            raise SandboxError("this sandbox has no tracked workspace, so no diff or snapshot")
        return self._tree

    def _hand_over(self) -> None:
        hand_over(self._spec.workspace)
        for mount in self._spec.mounts:
            if mount.writable:
                hand_over(mount.source)


class ShellSandbox(WorkspaceSandbox):
    """A sandbox whose commands go through one persistent shell (see shell.py)."""

    def __init__(self, spec: SandboxSpec, tree: Tree | None) -> None:
        super().__init__(spec, tree)
        self._channel: Channel | None = None
        self._session: Shell | None = None

    @abstractmethod
    def _connect(self) -> Channel:
        """Start the sandbox with the driver in it; called again after it has died.

        Raises:
            SandboxError: it cannot be started.
        """

    def exec(self, command: str, *, timeout: float = 60.0) -> CommandResult:
        """Run a bash command in a new shell, at `root`. See core.protocols.Sandbox."""
        if "\0" in command:
            return CommandResult(126, "bash: a command cannot hold a NUL byte\n")
        output = Output(self._spec.limits.output_bytes, self._spec.spool)
        shell = self._shell()
        start = time.monotonic()
        try:
            status, timed_out = self._run(shell, command, timeout, output)
            duration = time.monotonic() - start
            whole = output.finish()
        finally:
            output.discard()
        text = output.text()
        return CommandResult(status, text, output.truncated, duration, timed_out, whole)

    def read(self, path: str) -> bytes:
        """Bytes of a file inside, at most 64 MiB. See core.protocols.Sandbox.

        Raises:
            FileNotFoundError: there is no such regular file that may be read.
            OSError: it is too large.
            SandboxError: the sandbox has died.
        """
        name = _quoted(path)
        content = Everything(READ_BYTES)
        command = f"[ -f {name} ] && [ -r {name} ] || exit {_MISSING}; cat < {name} 2>/dev/null"
        status, _ = self._run(self._shell(), command, _FILE_SECONDS, content)
        if status == _MISSING:
            raise FileNotFoundError(f"no such file in the sandbox: {path}")
        if status or content.exceeded:
            raise OSError(f"{path} cannot be read in the sandbox (status {status})")
        return bytes(content.data)

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a file inside, with its parent directories.

        Raises:
            OSError: it cannot be written there.
            SandboxError: the sandbox has died.
        """
        name = _quoted(path)
        said = Everything(4096)
        command = f'mkdir -p -- "$(dirname -- {name})" && cat > {name}'
        status, _ = self._run(self._shell(), command, _FILE_SECONDS, said, data)
        if status:
            reason = said.data.decode("utf-8", "replace").strip() or f"status {status}"
            raise OSError(f"{path} cannot be written in the sandbox: {reason}")

    def close(self) -> None:
        """End it, with everything that runs inside. Idempotent."""
        self._closed = True
        self._drop()

    def _shell(self) -> Shell:
        """The shell, started if it is not there."""
        if self._closed:
            raise SandboxError("the sandbox is closed")
        if self._session is None:
            self._channel = self._connect()
            self._session = self._greet(self._channel)
        return self._session

    def _greet(self, channel: Channel) -> Shell:
        shell = Shell(channel)
        try:
            status, _ = shell.run("true", 30.0, Everything(4096))
        except ChannelClosedError:
            status = -1
        except BaseException:
            self._drop()
            raise
        if status:
            cause = channel.complaint.splitlines()
            self._drop()
            said = cause[-1] if cause else "the shell inside did not answer"
            raise SandboxError(f"the sandbox did not start: {said}", "run `evo doctor`")
        return shell

    def _run(
        self, shell: Shell, command: str, timeout: float, sink: Sink, payload: bytes | None = None
    ) -> tuple[int, bool]:
        start = time.monotonic()
        try:
            return shell.run(command, timeout, sink, payload)
        except ChannelClosedError:
            self._drop()
            self._shell()  # an engine that is gone shows here, as a SandboxError
            sink.feed(_RESTARTED)
            expired = time.monotonic() - start >= timeout
            return (TIMED_OUT, True) if expired else (KILLED, False)
        except BaseException:
            self._drop()  # interrupted: what still runs inside must not meet the next command
            raise

    def _drop(self) -> None:
        self._session = None
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def _quoted(path: str) -> str:
    if "\0" in path or not path:
        raise FileNotFoundError(f"not a file name: {path!r}")
    return shlex.quote(path if path.startswith("/") else f"./{path}")
