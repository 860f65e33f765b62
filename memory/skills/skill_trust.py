"""Which of a repository's skills the user has read and trusts: by content, in the user's own home.

A file beside the memory's folder, never in a repository and never in what is exported. A skill any
of whose files changed has another hash, and is untrusted again.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evo_agent.core.config import Config, data_folder
from evo_agent.memory.journal.schema import translated
from evo_agent.memory.skills.foreign_skills import ForeignSkill

FILE = "trusted-skills.json"


class SkillTrust:
    """The user's acknowledgments.

    Args:
        folder: the user's; by default the one that holds the shared memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.path = (folder or data_folder(Config(), None).parent) / FILE

    def trusts(self, repo: str, digest: str) -> bool:
        """Whether a content was acknowledged for a repository (its identity)."""
        return bool(digest) and digest in self._read().get(repo, {})

    def acknowledge(self, repo: str, skills: Iterable[ForeignSkill]) -> None:
        """Trust these contents in a repository from now on.

        Raises:
            StoreError: the file cannot be written.
        """
        with self._held():
            known = self._read()
            mine = known.setdefault(repo, {})
            for skill in skills:
                mine[skill.digest] = {"place": skill.place, "time": time.time()}
            self._write(known)

    def withdraw(self, repo: str, skills: Iterable[ForeignSkill]) -> None:
        """Trust them no more.

        Raises:
            StoreError: the file cannot be written.
        """
        with self._held():
            known = self._read()
            for skill in skills:
                known.get(repo, {}).pop(skill.digest, None)
            self._write(known)

    def _read(self) -> dict[str, dict[str, Any]]:
        """What is there; a file that cannot be read trusts nothing."""
        try:
            found = json.loads(self.path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        good = isinstance(found, dict) and all(isinstance(v, dict) for v in found.values())
        return found if good else {}

    def _write(self, known: dict[str, dict[str, Any]]) -> None:
        with translated(self.path):
            fresh = self.path.with_name(f".{FILE}.{os.getpid()}")
            fresh.write_text(json.dumps(known, indent=2) + "\n", "utf-8")
            fresh.chmod(0o600)
            fresh.replace(self.path)

    @contextmanager
    def _held(self) -> Iterator[None]:
        with translated(self.path):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.path.with_name(f"{FILE}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
