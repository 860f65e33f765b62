"""How git is run: no configuration, hook or program of the repository or the machine.

Two layers. Work trees and histories are only touched through git folders of evo's own, whose
configuration evo wrote (see `view`); and every command, there or in the user's git folder,
runs with the variables below, which silence each key of git-config(1) that names a program.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from evo_agent.core.errors import MissingDependencyError, RepositoryError

if TYPE_CHECKING:
    from git.cmd import Git

OLDEST_GIT = (2, 31)  # the first that reads GIT_CONFIG_COUNT, on which the second layer rests
TIMEOUT = 600.0  # seconds; an include.path or an object store can be made to hang

_VARIABLES = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "false",
    "SSH_ASKPASS": "false",
    "GIT_SSH_COMMAND": "false",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "false",
    "GIT_SEQUENCE_EDITOR": "false",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",  # a promisor remote must not be fetched from (ext::, ssh)
    "LC_ALL": "C",
}

OVERRIDES = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.pager": "cat",
    "core.editor": "false",
    "core.askPass": "false",
    "core.sshCommand": "false",
    "core.gitProxy": "",
    "core.alternateRefsCommand": "",
    "credential.helper": "",  # the empty string empties the list
    "diff.ignoreSubmodules": "all",  # `git status` inside a submodule would read its config
    "gpg.program": "false",
    "gpg.ssh.program": "false",
    "gpg.x509.program": "false",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "log.showSignature": "false",
    "protocol.allow": "never",
    "submodule.recurse": "false",
    "uploadpack.packObjectsHook": "",
    "gc.auto": "0",
    "maintenance.auto": "false",
}


class GitError(RepositoryError):
    """A git command failed.

    Args:
        command: the subcommand, for people.
        status: git's exit status.
        stderr: what git said.
    """

    def __init__(self, command: str, status: int, stderr: str) -> None:
        lines = [line.strip() for line in stderr.splitlines() if line.strip()]
        said = next((line for line in lines if line.startswith(("fatal:", "error:"))), "")
        full = "No space left on device" in stderr
        super().__init__(
            f"git {command} failed: {said or (lines[-1] if lines else f'status {status}')}",
            "free some disk space" if full else "",
        )
        self.status = status
        self.stderr = stderr


@cache
def git_binding() -> "type[Git]":
    """GitPython's command class, once git itself is known to be new enough.

    Raises:
        MissingDependencyError: GitPython or git is missing, or git is older than 2.31.
    """
    try:
        from git.cmd import Git
    except ImportError as error:  # GitPython raises it too when there is no git
        raise MissingDependencyError(
            f"git cannot be used: {str(error).strip().splitlines()[0]}", "install git and GitPython"
        ) from error
    version = Git().version_info
    if tuple(version[:2]) < OLDEST_GIT:
        found = ".".join(map(str, version))
        raise MissingDependencyError(f"git {found} is too old", "install git 2.31 or newer")
    return Git


def git_environment(
    *,
    user_config: bool = False,
    silenced: tuple[str, ...] = (),
    settings: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The whole environment for a git process on the host.

    Args:
        user_config: let git read the user's own and the system's configuration (never the
            way to touch a work tree); the overrides stay.
        silenced: further configuration keys to set to the empty string.
        settings: further configuration, not to be seen in any list of processes.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    variables = dict(_VARIABLES)
    if user_config:
        del variables["GIT_CONFIG_NOSYSTEM"], variables["GIT_CONFIG_GLOBAL"]
        variables |= {k: os.environ[k] for k in ("GIT_CONFIG_GLOBAL",) if k in os.environ}
    chosen = OVERRIDES | dict.fromkeys(silenced, "") | dict(settings or {})
    variables["GIT_CONFIG_COUNT"] = str(len(chosen))
    for number, (key, value) in enumerate(chosen.items()):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return kept | variables


@dataclass(frozen=True, slots=True)
class GitDir:
    """A git folder named outright, so that git neither searches for one nor checks its owner.

    Attributes:
        path: the git folder.
        work_tree: the work tree, for the commands that touch one.
        index: the index file, when it is not the folder's own.
        objects: where new objects go, when not to the folder's own store.
        silenced: see `git_environment`.
        keeper: whatever has to live as long as the folder is used.
    """

    path: Path
    work_tree: Path | None = None
    index: Path | None = None
    objects: Path | None = None
    silenced: tuple[str, ...] = ()
    keeper: object = field(default=None, compare=False, repr=False)

    def command(self, *arguments: str) -> list[str]:
        """The argv for a git command in this folder."""
        where = [f"--git-dir={self.path}"]
        if self.work_tree is not None:
            where.append(f"--work-tree={self.work_tree}")
        return ["git", "--no-pager", *where, *arguments]

    def environment(self) -> dict[str, str]:
        """The environment for it."""
        chosen = git_environment(silenced=self.silenced)
        if self.index is not None:
            chosen["GIT_INDEX_FILE"] = str(self.index)
        if self.objects is not None:
            chosen["GIT_OBJECT_DIRECTORY"] = str(self.objects)
        return chosen

    def run(self, *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> bytes:
        """Run a git command and return its stdout.

        Raises:
            GitError: it exited with another status than 0.
        """
        cwd = self.work_tree or self.path
        return execute(
            self.command(*arguments), self.environment() | (env or {}), cwd=cwd, stdin=stdin
        )

    def text(self, *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> str:
        """The same as text, without the newline at the end."""
        return self.run(*arguments, stdin=stdin, env=env).decode("utf-8", "replace").rstrip("\n")


def execute(argv: list[str], env: dict[str, str], *, cwd: Path, stdin: bytes = b"") -> bytes:
    """Run git through GitPython with exactly this environment.

    Raises:
        GitError: it exited with another status than 0.
    """
    # GitPython starts from os.environ: inside a git hook that names other folders.
    stray = [k for k in os.environ if k.startswith("GIT_") and k not in env]
    prefix = ["env", *(part for name in stray for part in ("-u", name))] if stray else []
    with tempfile.TemporaryFile() as source:
        source.write(stdin)
        source.seek(0)
        status, out, err = git_binding()(str(cwd)).execute(
            prefix + argv,
            istream=source,
            env=env,
            with_extended_output=True,
            with_exceptions=False,
            stdout_as_string=False,
            strip_newline_in_stdout=False,
            kill_after_timeout=TIMEOUT,
        )
    if status != 0:
        raise GitError(_subcommand(argv), status, str(err))
    return bytes(out)


def _subcommand(argv: list[str]) -> str:
    words = [word for word in argv[1:] if not word.startswith("-")]
    return words[0] if words else "command"
