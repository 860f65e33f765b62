"""One build of an environment: commands in a sandbox, beside the final place, then a rename."""

import fcntl
import importlib.util
import json
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evo_agent.core.config import Config
from evo_agent.core.confinement import Mount, SandboxLimits, SandboxSpec
from evo_agent.core.errors import EnvironmentBuildError
from evo_agent.core.types import ENVIRONMENT_ROOT, CommandResult
from evo_agent.sandboxes.select import open_sandbox
from evo_agent.tasks.build_settings import build_settings
from evo_agent.tasks.carried import files_of, keep_new_ignored_files
from evo_agent.tasks.detect import Project
from evo_agent.tasks.interpreter import Interpreter

if TYPE_CHECKING:
    from evo_agent.sandboxes.workspace import Workspace

BUILD_SECONDS = 1800.0  # for one set-up command
HOST_FOLDER = "/opt/evo/host"  # where a build sees files that evo brings
_DONE = "environment.json"  # written last, so its presence says that the build is whole


def is_built(folder: Path) -> bool:
    """Whether a cache folder holds a finished environment."""
    return (folder / _DONE).is_file()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time build what `folder` names; the lock dies with its holder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True, slots=True)
class Build:
    """Builds into `folder`; a build that fails or is killed leaves nothing there.

    Attributes:
        workspace: the tree at base; a copy of it is built in.
        folder: where the finished environment goes; its log, when it fails, beside it.
    """

    project: Project
    config: Config
    workspace: "Workspace"
    interpreter: Interpreter
    image: str | None
    folder: Path

    def run(self) -> None:
        """Build.

        Raises:
            EnvironmentBuildError: a command failed; the log is kept and named.
            SandboxError: the sandbox could not be started, or died.
        """
        half = self.folder.with_name(f"{self.folder.name}.{os.getpid()}.building")
        shutil.rmtree(half, ignore_errors=True)
        for name in ("env", "host"):
            (half / name).mkdir(parents=True)
        # The sandbox's user may be another; the cache above is the user's own.
        (half / "env").chmod(0o777)
        try:
            self._fill(half)
            shutil.rmtree(self.folder, ignore_errors=True)
            half.rename(self.folder)
        finally:
            shutil.rmtree(half, ignore_errors=True)

    def _fill(self, half: Path) -> None:
        copy = self.workspace.copy(half / "workspace")
        before = frozenset(files_of(copy.folder))
        with (
            (half / "build.log").open("w", encoding="utf-8", errors="replace") as log,
            open_sandbox(self._spec(half, copy.folder), copy, self._backend) as sandbox,
        ):
            for command in self._commands(half):
                done = sandbox.exec(command, timeout=BUILD_SECONDS)
                log.write(f"$ {command}\n{_output(done)}\n[exit {done.exit_code}]\n")
                log.flush()
                if done.exit_code:
                    raise self._failed(half, command, done)
        keep_new_ignored_files(copy, before, half / "carried")
        for name in ("workspace", "host"):
            shutil.rmtree(half / name)
        facts = {"setup": self.project.setup, "why": self.project.why}
        (half / _DONE).write_text(json.dumps(facts, indent=2), "utf-8")

    @property
    def _backend(self) -> str:
        return self.config.sandbox.backend

    def _spec(self, half: Path, workspace: Path) -> SandboxSpec:
        settings = build_settings()
        path = (
            f"{ENVIRONMENT_ROOT}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        )
        env = {**settings.env, **self.config.sandbox.env}
        return SandboxSpec(
            workspace=workspace,
            mounts=(
                Mount(half / "env", ENVIRONMENT_ROOT, writable=True),
                Mount(half / "host", HOST_FOLDER),
                *settings.mounts,
                *self.interpreter.mounts,
            ),
            env={**env, "PATH": path, "VIRTUAL_ENV": ENVIRONMENT_ROOT},
            network=True,
            image=self.image,
            limits=SandboxLimits(memory_mb=self.config.sandbox.memory_mb),
        )

    def _commands(self, half: Path) -> Iterator[str]:
        """The virtual environment, what the project asks for, and pytest if nothing brought it."""
        if self.project.language == "python":
            yield self._venv(half)
        yield from self.project.setup
        if self.project.language == "python" and self.project.runner == "pytest":
            pip = "python -m pip install --disable-pip-version-check"
            yield f"python -c 'import pytest' 2>/dev/null || {pip} pytest"

    def _venv(self, half: Path) -> str:
        python = shlex.quote(self.interpreter.command)
        if self.interpreter.has_ensurepip:
            return f"{python} -m venv {ENVIRONMENT_ROOT}"
        wheel = _pip_wheel()
        if wheel is None:
            raise EnvironmentBuildError(
                "the sandbox's Python cannot make virtual environments (no ensurepip)",
                "install python3-venv there, or name an image in sandbox.image",
            )
        shutil.copyfile(wheel, half / "host" / wheel.name)
        shown = f"{HOST_FOLDER}/{wheel.name}"
        return (
            f"{python} -m venv --without-pip {ENVIRONMENT_ROOT} && "
            f"{ENVIRONMENT_ROOT}/bin/python {shown}/pip install --no-index {shown}"
        )

    def _failed(self, half: Path, command: str, done: CommandResult) -> EnvironmentBuildError:
        log = self.folder.with_name(f"{self.folder.name}.failed.log")
        shutil.copyfile(half / "build.log", log)
        what = "took too long" if done.timed_out else f"failed (exit {done.exit_code})"
        return EnvironmentBuildError(
            f"the environment could not be built: `{command[:120]}` {what}; log: {log}",
            "mend the project's requirements, or name the commands in sandbox.setup",
        )


def _output(done: CommandResult) -> str:
    if done.full_output is None:
        return done.output
    return done.full_output.read_text("utf-8", "replace")


def _pip_wheel() -> Path | None:
    """The pip that Python itself ships; Debian takes it out of the standard library."""
    spec = importlib.util.find_spec("ensurepip")
    if spec is None or spec.origin is None:
        return None
    found = sorted(Path(spec.origin).parent.glob("_bundled/pip-*.whl"))
    return found[-1] if found else None
