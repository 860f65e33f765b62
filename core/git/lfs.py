"""Large files kept by Git LFS, recognised without running its filter."""

import hashlib
import re

from evo_agent.core.git.harden import GitDir, GitError

# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-.*\n)*"
    rb"oid sha256:([0-9a-f]{64})\nsize (\d+)\n"
)
_POINTER_BYTES = 1024  # the specification's bound


def unchanged_pointer(tree: GitDir, path: str) -> bool:
    """Whether a work-tree file is the content that the pointer in the index stands for.

    Without the filter git can only compare the file with the pointer's text, and would call
    every large file changed whose time stamp moved.
    """
    assert tree.work_tree is not None
    file = tree.work_tree / path
    try:
        blob = tree.run("cat-file", "blob", f":{path}")
    except GitError:
        return False
    pointer = _POINTER.match(blob) if len(blob) <= _POINTER_BYTES else None
    if pointer is None or file.is_symlink() or not file.is_file():
        return False
    if file.stat().st_size != int(pointer[2]):
        return False
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == pointer[1].decode()
