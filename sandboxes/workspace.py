"""The workspace: a work tree for a sandbox, and a git folder that the sandbox never sees.

    folder/tree       what the sandbox shows; its .git holds base and its ancestors only
    folder/host.git   evo's own index and snapshots; the user's objects as alternate

The tree is hostile from the moment that a sandbox has it. Git never runs in it: evo walks it
without following links, copies what changed to a private folder, and lets git read that; and
writes into it the same way. So there is no moment at which a nested repository, a link put in
at the right time or a file made huge reaches git or the host's files.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from evo_agent.core.errors import PatchRefusedError, SandboxError
from evo_agent.core.git import GitDir, GitError, Repository
from evo_agent.sandboxes.folders import open_root, place, remove
from evo_agent.sandboxes.past import new_host_folder, write_past
from evo_agent.sandboxes.patches import apply_to_index, changes, check_changes, write_patch
from evo_agent.sandboxes.record import Recorder, entries, join_paths
from evo_agent.sandboxes.scan import SUBMODULE, Scan, Signature


@dataclass(slots=True)
class Workspace:
    """See the module. Implements core.protocols.Tree; made by `create` or `open`.

    Attributes:
        repository: the user's repository.
        base: full SHA of the commit that it starts from.
        home: the folder of both.
    """

    repository: Repository
    base: str
    home: Path
    _seen: dict[str, tuple[Signature, str]] = field(default_factory=dict, repr=False)
    _modes: dict[str, int] = field(default_factory=dict, repr=False)

    @classmethod
    def create(cls, repository: Repository, base: str, folder: Path) -> Self:
        """Check a commit out into a new workspace.

        Args:
            repository: where it comes from.
            base: branch, tag or SHA.
            folder: made here; must not hold a workspace yet.

        Raises:
            RepositoryError: base names no commit.
            SandboxError: it cannot be written, or objects are missing.
        """
        made = cls(repository, repository.resolve(base), folder)
        try:
            made.folder.mkdir(parents=True)
            host = new_host_folder(repository, made.base, made.host.path)
            replace(host, work_tree=made.folder).run("read-tree", "--reset", "-u", made.base)
            write_past(repository, made.base, made.folder, host.path / "index")
        except (OSError, GitError) as error:
            why = getattr(error, "strerror", None) or error
            remedy = "free some space there, or make it writable, then run again"
            raise SandboxError(f"no workspace can be made in {folder}: {why}", remedy) from error
        return made

    @classmethod
    def open(cls, repository: Repository, folder: Path) -> Self:
        """Open a workspace that `create` made, perhaps in a process that was killed.

        Raises:
            SandboxError: there is none, or only half of one.
        """
        head = folder / "host.git" / "HEAD"
        if not head.is_file() or not (folder / "tree").is_dir():
            raise SandboxError(f"{folder} holds no workspace")
        return cls(repository, head.read_text().strip(), folder)

    def copy(self, to: Path) -> Self:
        """A second workspace at the same base, sharing nothing with this one."""
        return self.create(self.repository, self.base, to)

    @property
    def folder(self) -> Path:
        """The directory that a sandbox shows at its root."""
        return self.home / "tree"

    @property
    def host(self) -> GitDir:
        """The git folder that the sandbox never sees."""
        return GitDir(self.home / "host.git")

    @property
    def submodules(self) -> tuple[str, ...]:
        """Paths of submodules; they are empty folders here, none is initialised."""
        return tuple(path for path, mode in self._base_modes().items() if mode == SUBMODULE)

    def diff(self) -> str:
        """The tree against its base, as `git add -A && git diff --cached` would print it.

        Raises:
            PatchRefusedError: it does what no fix may do (see core.errors).
            SandboxError: the tree is gone or cannot be read.
        """
        with self._recorded() as (shadow, tree, scan):
            if scan.problems:
                raise PatchRefusedError(scan.problems[0], "remove it from the workspace")
            check_changes(self.host, self.base, tree)
            return write_patch(shadow, self.base, tree)

    def snapshot(self) -> str:
        """Id of the present tree; what `diff` would refuse is left out."""
        with self._recorded() as (_, tree, _):
            return tree

    def restore(self, tree: str) -> None:
        """Bring the files back to a snapshot; files it does not have go, ignored ones stay.

        What counts is what the snapshot ignores: files that only later rules ignored go.
        """
        for _ in range(2):
            with self._recorded() as (_, present, scan):
                if present == tree and not scan.nested:
                    return
                self._move(present, tree, scan.nested)

    def apply(self, patch: str) -> None:
        """Apply a patch to the tree as it is, all of it or nothing.

        Raises:
            PatchRefusedError: it does what no fix may do.
            PatchDoesNotApplyError: it is malformed or does not fit.
        """
        if not patch.strip():
            return
        with self._recorded() as (_, present, _):
            with tempfile.TemporaryDirectory(dir=self.home) as scratch:
                index = replace(self.host, index=Path(scratch) / "index")
                index.run("read-tree", present)
                apply_to_index(index, patch)
                wanted = index.text("write-tree")
            check_changes(self.host, present, wanted)
            self._move(present, wanted)

    def remove(self) -> None:
        """Delete both folders; what cannot be deleted stays."""
        shutil.rmtree(self.home, ignore_errors=True)

    def _base_modes(self) -> dict[str, int]:
        if not self._modes:
            listed = entries(self.host.run("ls-tree", "-r", "-z", self.base))
            self._modes.update({path: mode for path, (mode, _) in listed.items()})
        return self._modes

    @contextmanager
    def _recorded(self) -> Iterator[tuple[GitDir, str, Scan]]:
        """Bring the index up to date with the tree.

        Yields:
            The host's git with a private folder of what changed as its work tree, the
            recorded tree's id, and what the walk found.
        """
        try:
            with (
                tempfile.TemporaryDirectory(dir=self.home, prefix="shadow-") as scratch,
                open_root(self.folder) as root,
            ):
                shadow = replace(self.host, work_tree=Path(scratch))
                recorder = Recorder(shadow, Path(scratch), root, self._base_modes(), self._seen)
                scan = recorder.record()
                yield shadow, shadow.text("write-tree"), scan
        except (OSError, GitError) as error:
            raise SandboxError(f"the workspace {self.home} cannot be read: {error}") from error

    def _move(self, present: str, wanted: str, nested: Iterable[str] = ()) -> None:
        """Change the files of one recorded tree into those of another."""
        found = [c for c in changes(self.host, present, wanted) if not c.touches_submodule]
        with tempfile.TemporaryDirectory(dir=self.home) as scratch, open_root(self.folder) as root:
            private = Path(scratch) / "files"
            private.mkdir()
            index = replace(self.host, index=Path(scratch) / "index", work_tree=private)
            index.run("read-tree", wanted)
            written = [c.path for c in found if not c.deletes]
            index.run("checkout-index", "-z", "--stdin", stdin=join_paths(written))
            for path in [*nested, *(c.path for c in found if c.deletes)]:
                remove(root, path)
            for path in written:
                place(root, path, private / path)
