"""Small answers of git, within a time and a size: blobs, and what a command prints."""

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from evo_agent.core.errors import RepositoryError
from evo_agent.core.git import git_environment

LARGEST_BLOB = 1 << 20  # bytes; larger ones are generated, or data
_SHORTEST = 0.01  # seconds that a command is given when the time is nearly up


class OutOfTimeError(RepositoryError):
    """The time allowed for the questions about a commit is up."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks git about one repository until a moment.

    Attributes:
        git: the argv that a git command begins with (core.git.git_command).
        end: on time.monotonic's clock.
    """

    git: tuple[str, ...]
    end: float

    def ask(self, *arguments: str, stdin: str = "") -> bytes:
        """What a command prints.

        Raises:
            OutOfTimeError: it took too long, and was ended.
            RepositoryError: it failed.
        """
        try:
            done = subprocess.run(
                [*self.git, *arguments],
                env=git_environment(),
                input=stdin.encode("utf-8", "surrogateescape"),
                capture_output=True,
                check=False,
                timeout=max(_SHORTEST, self.end - time.monotonic()),
            )
        except subprocess.TimeoutExpired as error:
            raise OutOfTimeError(f"git {arguments[0]} took too long") from error
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()[:300]
            raise RepositoryError(f"git {arguments[0]} failed: {' '.join(said.split())}")
        return done.stdout

    def blobs(self, commit: str, paths: Sequence[str]) -> dict[str, bytes]:
        """Contents of files of a commit; without those that are missing or too large."""
        plain = [path for path in paths if "\n" not in path]
        names = [f"{commit}:{path}" for path in plain]
        listed = self.ask("cat-file", "--batch-check", stdin="".join(f"{n}\n" for n in names))
        answers = listed.decode("utf-8", "replace").splitlines()
        objects: dict[str, tuple[str, int]] = {}
        for path, answer in zip(plain, answers, strict=False):
            match answer.split(" "):
                case [name, "blob", size] if int(size) <= LARGEST_BLOB:
                    objects[path] = (name, int(size))
        data = self.ask("cat-file", "--batch", stdin="".join(f"{n}\n" for n, _ in objects.values()))
        found: dict[str, bytes] = {}
        for path, (_, length) in objects.items():
            start = data.index(b"\n") + 1
            found[path], data = data[start : start + length], data[start + length + 1 :]
        return found
