"""What a patch may not do, judged on the trees before and after, and how it is written."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from evo_agent.core.errors import PatchDoesNotApplyError, PatchRefusedError
from evo_agent.core.git import GitDir, GitError
from evo_agent.sandboxes.scan import MAX_FILE_BYTES

MAX_PATCH_BYTES = 20 * 2**20
_LINK, _SUBMODULE = "120000", "160000"


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs between two trees; modes as git writes them, 000000 for none."""

    path: str
    old_mode: str
    new_mode: str
    new_blob: str

    @property
    def deletes(self) -> bool:
        """Whether nothing is there afterwards."""
        return self.new_mode == "000000"

    @property
    def touches_submodule(self) -> bool:
        """Whether it is a submodule before or after."""
        return _SUBMODULE in (self.old_mode, self.new_mode)


def changes(git: GitDir, old: str, new: str) -> tuple[Change, ...]:
    """What differs between two trees, without renames."""
    raw = git.run("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", old, new)
    parts = raw.decode("utf-8", "surrogateescape").split("\0")
    return tuple(
        Change(path, meta[1:7], meta[8:14], meta.split(" ")[3])
        for meta, path in zip(parts[::2], parts[1::2], strict=False)
    )


def check_changes(git: GitDir, old: str, new: str) -> None:
    """Refuse what no fix may do.

    Raises:
        PatchRefusedError: a submodule changes, a link would leave the tree, or a file is
            larger than the bound.
    """
    found = changes(git, old, new)
    for change in found:
        if change.touches_submodule:
            raise PatchRefusedError(f"{change.path} is a submodule: a fix may not change it")
    for change in found:
        if change.new_mode == _LINK:
            _check_link(change.path, git.text("cat-file", "blob", change.new_blob))
    blobs = "".join(f"{c.new_blob}\n" for c in found if not c.deletes)
    sizes = git.text("cat-file", "--batch-check=%(objectsize)", stdin=blobs.encode())
    if any(int(size) > MAX_FILE_BYTES for size in sizes.split()):
        raise PatchRefusedError(f"a file is larger than {MAX_FILE_BYTES >> 20} MB")


def _check_link(path: str, target: str) -> None:
    end = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if target.startswith("/") or end.split("/", 1)[0] in ("..", ".git"):
        raise PatchRefusedError(f"{path} is a link that leaves the tree ({target:.80})")


def write_patch(shadow: GitDir, base: str, tree: str) -> str:
    """The difference of base and the index, as `git diff --cached` prints it.

    Files that are not UTF-8 are written as binary patches, so that the patch is text whatever
    the repository holds, and no byte of it is lost.

    Raises:
        PatchRefusedError: it is too large.
    """
    patch = _cached_diff(shadow, base)
    if _decodes(patch):
        return patch.decode("utf-8")
    attributes = shadow.path / "info" / "attributes"
    before = attributes.read_bytes() if attributes.exists() else b""
    try:
        attributes.write_bytes(before + b"\n" + b"".join(_binary_rules(shadow, base, tree)))
        return _cached_diff(shadow, base).decode("utf-8", "replace")
    finally:
        attributes.write_bytes(before)


def _cached_diff(shadow: GitDir, base: str) -> bytes:
    options = ("--cached", "--binary", "--no-ext-diff", "--no-textconv", "--no-color")
    patch = shadow.run("diff", *options, base)
    if len(patch) > MAX_PATCH_BYTES:
        raise PatchRefusedError(
            f"the patch has {len(patch) >> 20} MB, more than {MAX_PATCH_BYTES >> 20}",
            "add what is generated to .gitignore",
        )
    return patch


def _binary_rules(shadow: GitDir, base: str, tree: str) -> Iterator[bytes]:
    """Lines for info/attributes, which outrank the tree's own."""
    old = {c.path: c.new_blob for c in changes(shadow, tree, base)}
    for change in changes(shadow, base, tree):
        blobs = [b for b in (old[change.path], change.new_blob) if set(b) != {"0"}]
        if not all(_decodes(shadow.run("cat-file", "blob", blob)) for blob in blobs):
            pattern = "".join(f"\\{c}" if c in "\\*?[" else c for c in f"/{change.path}")
            quoted = pattern.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            yield f'"{quoted}" -diff\n'.encode("utf-8", "surrogateescape")


def _decodes(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def apply_to_index(git: GitDir, patch: str) -> None:
    """Apply a patch to the index of a git folder, all of it or nothing.

    Raises:
        PatchRefusedError: it writes into `.git` or out of the tree.
        PatchDoesNotApplyError: it is malformed or does not fit.
    """
    text = patch if patch.endswith("\n") else f"{patch}\n"  # models drop the last line break
    try:
        git.run(
            "apply",
            "--cached",
            "--whitespace=nowarn",
            "-",
            stdin=text.encode("utf-8", "surrogateescape"),
        )
    except GitError as error:
        said = error.cause.removeprefix("git apply failed: ").removeprefix("error: ")
        if "invalid path" in said or "beyond a symbolic link" in said:
            raise PatchRefusedError(f"the patch may not go there: {said}") from error
        raise PatchDoesNotApplyError(f"the patch does not apply: {said}") from error
