"""The git folder that a sandbox sees: the base commit and its ancestors, and nothing after.

Its objects are packed anew by walking from base, so that no later commit, no reflog and no
dangling object of the user's store comes along, and copied, so that nothing written in the
sandbox reaches the user's files. Packing a large history takes seconds; packs are cached.
"""

import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from evo_agent.core.config import cache_folder
from evo_agent.core.errors import SandboxError
from evo_agent.core.git import GitDir, GitError, Repository
from evo_agent.core.git.harden import execute, git_environment
from evo_agent.core.git.view import append_settings, line_settings

BRANCH = "main"  # the user's own branch name may give the answer away
CACHE_BYTES = 2 * 2**30  # packs beyond this are dropped, least recently used first


def write_past(repository: Repository, base: str, tree: Path, index: Path) -> None:
    """Make `tree/.git`: a branch at base, the tags on its ancestors, and their objects.

    Args:
        repository: where the history comes from.
        base: full SHA.
        tree: the checked-out work tree.
        index: the index of that check-out; copied.

    Raises:
        SandboxError: the history cannot be packed (objects missing, disk full).
    """
    made = ["git", "init", "-q", "--template=", f"--initial-branch={BRANCH}"]
    made += [f"--object-format={repository.object_format}", str(tree)]
    execute(made, git_environment(), cwd=tree)
    folder = tree / ".git"
    append_settings(folder / "config", line_settings(repository.config))
    tags = _tags(repository, base)
    _copy_pack(repository, base, tags, folder / "objects" / "pack")
    (folder / "refs" / "heads" / BRANCH).write_text(f"{base}\n")
    (folder / "packed-refs").write_text("".join(f"{sha} {name}\n" for sha, name in tags))
    shutil.copyfile(index, folder / "index")
    for name in ("shallow", "info/attributes"):
        with suppress(FileNotFoundError):
            (folder / "info").mkdir(exist_ok=True)
            shutil.copyfile(repository.view.path / name, folder / name)


def _tags(repository: Repository, base: str) -> list[tuple[str, str]]:
    form = "--format=%(objectname) %(refname)"
    listed = repository.view.text("for-each-ref", f"--merged={base}", form, "refs/tags")
    pairs = (line.split(" ", 1) for line in listed.splitlines())
    return [(sha, name) for sha, name in pairs]


def _copy_pack(repository: Repository, base: str, tags: list[tuple[str, str]], to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    cached = _cached(repository, base, tags)
    try:
        if not cached.is_dir():
            _fill(repository, base, tags, cached)
        for file in sorted(cached.iterdir()):
            shutil.copyfile(file, to / file.name)
        os.utime(cached)
    except OSError:  # no cache to be had, or another process just dropped this pack
        _pack(repository, base, tags, to)


def _cached(repository: Repository, base: str, tags: list[tuple[str, str]]) -> Path:
    cut = repository.view.path / "shallow"
    parts = [repository.identity, base, repository.object_format, repr(tags)]
    parts.append(cut.read_text() if cut.exists() else "")
    name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
    return cache_folder() / "histories" / name


def _fill(repository: Repository, base: str, tags: list[tuple[str, str]], cached: Path) -> None:
    cached.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _evict(cached.parent)
    scratch = Path(tempfile.mkdtemp(dir=cached.parent, prefix="new-"))
    try:
        _pack(repository, base, tags, scratch)
        with suppress(OSError):  # another process was first: the same objects
            scratch.rename(cached)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _pack(repository: Repository, base: str, tags: list[tuple[str, str]], to: Path) -> None:
    wanted = "".join(f"{sha}\n" for sha in (base, *(sha for sha, _ in tags)))
    options = ("--revs", "--delta-base-offset", "-q")
    try:
        repository.view.run("pack-objects", *options, str(to / "pack"), stdin=wanted.encode())
    except GitError as error:
        raise SandboxError(
            f"the history up to {base[:12]} cannot be packed: {error}",
            "`git fsck` in the repository says what is missing",
        ) from error


def _evict(packs: Path) -> None:
    kept = 0
    found = [(f.stat().st_mtime, f) for f in packs.iterdir() if not f.name.startswith("new-")]
    for _, folder in sorted(found, reverse=True):
        kept += sum(file.stat().st_size for file in folder.iterdir())
        if kept > CACHE_BYTES:
            shutil.rmtree(folder, ignore_errors=True)


def new_host_folder(repository: Repository, base: str, folder: Path) -> GitDir:
    """Make the git folder that stays with the host, reading the user's objects, HEAD at base."""
    host = repository.private_folder(folder, line_settings(repository.config))
    (folder / "HEAD").write_text(f"{base}\n")
    for name in ("shallow", "info/attributes"):
        with suppress(FileNotFoundError):
            shutil.copyfile(repository.view.path / name, folder / name)
    return host
