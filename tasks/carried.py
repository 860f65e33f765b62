"""Generated files that runs need: what a build left in the tree, ignored by git.

Compiled extensions and version files are written into the tree by an editable installation.
They are kept with the environment and laid into every workspace. Only files that git ignores
are kept, so that they never show in a diff. Both trees were writable to a sandbox: links are
never followed, and only regular files count.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evo_agent.sandboxes.workspace import Workspace

MAX_FILES = 5000
MAX_BYTES = 512 * 1024 * 1024
_CACHES = {"__pycache__", ".git", "build", "node_modules", ".pytest_cache", ".mypy_cache"}
_NEW_FILE = re.compile(r'^diff --git (?:"?a/.*?) "?b/(.*?)"?$', re.MULTILINE)


def files_of(tree: Path) -> Iterator[str]:
    """Regular files of a tree, relative, caches left out."""
    for folder, names, files in os.walk(tree):
        names[:] = [n for n in names if n not in _CACHES and not Path(folder, n).is_symlink()]
        for name in files:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(tree).as_posix()


def keep_new_ignored_files(built: "Workspace", before: frozenset[str], to: Path) -> None:
    """Copy what a build added and git ignores out of a built workspace.

    Args:
        built: the workspace after the build.
        before: its files before (see files_of).
        to: made only if there is something to keep.
    """
    new = [path for path in files_of(built.folder) if path not in before]
    if not new:
        return
    shown = set(_NEW_FILE.findall(built.diff()))
    size = 0
    for path in [path for path in new if path not in shown][:MAX_FILES]:
        source = built.folder / path
        size += source.lstat().st_size
        if size > MAX_BYTES:
            return
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, to / path, follow_symlinks=False)


def carry(kept: Path, tree: Path) -> None:
    """Lay kept files into a workspace that no sandbox has had yet; nothing is replaced."""
    for path in files_of(kept):
        target = tree / path
        if os.path.lexists(target) or not _safe(tree, target.parent):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kept / path, target, follow_symlinks=False)
        target.chmod(0o755 if target.suffix == ".so" else 0o644)


def _safe(tree: Path, folder: Path) -> bool:
    """Whether a folder of the tree is reached without links (the base commit may hold some)."""
    while folder != tree:
        if folder.is_symlink():
            return False
        folder = folder.parent
    return True
