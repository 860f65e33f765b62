"""Putting uncommitted work aside and back, as `git stash -u` does, without running anything.

The commit made is a stash like git's own (work tree; parents HEAD, index, untracked files) and
stands in refs/stash from before the first file is touched until everything is back, so that
`git stash list` shows it after any accident.
"""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from evo_agent.core.errors import RepositoryError
from evo_agent.core.git.harden import GitDir, GitError
from evo_agent.core.git.lfs import unchanged_pointer
from evo_agent.core.git.repository import STATE_FOLDER, Repository
from evo_agent.core.git.writing import (
    apply_to_files,
    commit_tree,
    fits_files,
    identity_variables,
    move_ref,
    scratch_index,
)

_REF = "refs/stash"


@dataclass(frozen=True, slots=True)
class Aside:
    """Work put aside.

    Attributes:
        base: the commit that it was made on.
        staged: commit of the index.
        work: commit of the tracked files; the stash itself.
        untracked: commit of the untracked files; empty when there were none.
    """

    base: str
    staged: str
    work: str
    untracked: str = ""


def set_aside(repository: Repository, reason: str) -> Aside:
    """Record uncommitted work as a stash, then make the tree clean.

    Raises:
        RepositoryError: a merge is unfinished, or an untracked folder is a repository.
    """
    aside = _recorded(repository, reason)
    old = _stash_now(repository)
    env = identity_variables(repository)
    if old:
        move_ref(repository, _REF, aside.work, old, reason)
    else:
        repository.own.run("update-ref", "--create-reflog", "-m", reason, _REF, aside.work, env=env)
    real = replace(_files(repository), index=repository.git_dir / "index")
    real.run("read-tree", "--reset", "-u", aside.base)
    for path in _paths(repository, aside.untracked):
        _unlink(repository.root, path)
    return aside


def bring_back(repository: Repository, aside: Aside) -> bool:
    """Put the work back on top of what the files are now.

    Returns:
        False when it does not fit: then no file was touched and the stash is kept.
    """
    work = _difference(repository, aside.base, aside.work)
    untracked = _paths(repository, aside.untracked)
    if any(os.path.lexists(repository.root / path) for path in untracked):
        return False
    if work and not fits_files(repository, work):
        return False
    if work:
        apply_to_files(repository, work)
    if untracked:
        _check_out(repository, aside.untracked, untracked)
    _stage(repository, _difference(repository, aside.base, aside.staged))
    _drop(repository, aside)
    return True


def _recorded(repository: Repository, reason: str) -> Aside:
    base = repository.head
    with scratch_index(repository) as git:
        files = replace(git, work_tree=repository.root)
        assert files.index is not None
        shutil.copyfile(repository.git_dir / "index", files.index)
        try:
            staged = commit_tree(repository, files.text("write-tree"), [base], f"index on {reason}")
        except GitError as error:
            raise RepositoryError(
                f"uncommitted work cannot be put aside: {error.cause}", "finish the merge first"
            ) from error
        changed = _listed(files, "diff-files", "--name-only", "--ignore-submodules=all")
        changed = [path for path in changed if not unchanged_pointer(files, path)]
        _add(files, changed)
        tree = files.text("write-tree")
        new = _listed(files, "ls-files", "--others", "--exclude-standard")
        untracked = _untracked(repository, [p for p in new if p.split("/")[0] != STATE_FOLDER])
    parents = [base, staged, *([untracked] if untracked else [])]
    return Aside(base, staged, commit_tree(repository, tree, parents, reason), untracked)


def _untracked(repository: Repository, paths: list[str]) -> str:
    if not paths:
        return ""
    nested = [path for path in paths if path.endswith("/")]
    if nested:
        raise RepositoryError(
            f"{nested[0]} is an untracked repository and cannot be put aside",
            "move it away, or add it to .gitignore",
        )
    with scratch_index(repository) as git:
        files = replace(git, work_tree=repository.root)
        _add(files, paths)
        return commit_tree(repository, files.text("write-tree"), [], "untracked files")


def _check_out(repository: Repository, commit: str, paths: list[str]) -> None:
    with scratch_index(repository) as git:
        git.run("read-tree", commit)
        files = replace(git, work_tree=repository.root, objects=None)
        files.run("checkout-index", "-z", "--stdin", stdin=_joined(paths))


def _stage(repository: Repository, patch: str) -> None:
    """Stage again what was staged; where it no longer fits it stays as an unstaged change."""
    index = replace(_files(repository), index=repository.git_dir / "index")
    with suppress(GitError):
        if patch:
            options = ("apply", "--cached", "--whitespace=nowarn", "-")
            index.run(*options, stdin=os.fsencode(patch))


def _drop(repository: Repository, aside: Aside) -> None:
    if _stash_now(repository) != aside.work:
        return  # somebody stashed on top meanwhile: leave both
    env = identity_variables(repository)
    own = repository.own
    own.run("reflog", "delete", "--updateref", "--rewrite", f"{_REF}@{{0}}", env=env)
    log = repository.common_dir / "logs" / _REF
    if not log.exists() or not log.stat().st_size:
        own.run("update-ref", "-d", _REF, env=env)


def _stash_now(repository: Repository) -> str:
    try:
        return repository.resolve(_REF)
    except RepositoryError:
        return ""


def _files(repository: Repository) -> GitDir:
    return replace(repository.view, work_tree=repository.root, objects=repository.objects)


def _difference(repository: Repository, old: str, new: str) -> str:
    view = replace(repository.view, objects=repository.objects)
    options = ("diff-tree", "--binary", "-p", "--no-renames", "--no-ext-diff", "--no-textconv")
    return os.fsdecode(view.run(*options, old, new))


def _paths(repository: Repository, commit: str) -> list[str]:
    if not commit:
        return []
    view = replace(repository.view, objects=repository.objects)
    return _listed(view, "ls-tree", "-r", "--name-only", commit)


def _listed(git: GitDir, command: str, *arguments: str) -> list[str]:
    listed = git.run(command, "-z", *arguments)
    return [os.fsdecode(path) for path in listed.split(b"\0") if path]


def _add(git: GitDir, paths: Iterable[str]) -> None:
    git.run("update-index", "-z", "--add", "--remove", "--stdin", stdin=_joined(paths))


def _joined(paths: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in paths)


def _unlink(root: Path, path: str) -> None:
    file = root / path
    with suppress(FileNotFoundError):
        file.unlink()
    for folder in file.relative_to(root).parents:
        with suppress(OSError):
            if folder != Path():
                (root / folder).rmdir()
