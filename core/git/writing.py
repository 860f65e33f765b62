"""The few changes made to the user's repository: a patch in its files, a commit, a ref.

Objects are written through the view, so that no filter runs; refs are moved in the user's git
folder with hooks switched off; no signing program runs either.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from evo_agent.core.errors import PatchDoesNotApplyError, RepositoryError
from evo_agent.core.git.harden import GitDir, GitError
from evo_agent.core.git.repository import Repository


@contextmanager
def scratch_index(repository: Repository) -> Iterator[GitDir]:
    """The view with an empty index of its own; new objects go to the user's store."""
    with tempfile.TemporaryDirectory(prefix="evo-index-") as scratch:
        index = Path(scratch) / "index"
        yield replace(repository.view, index=index, objects=repository.objects)


def tree_with(repository: Repository, base: str, patch: str) -> str:
    """Write the tree that a patch makes of a commit's; no file is touched.

    Raises:
        PatchDoesNotApplyError: it does not fit.
    """
    with scratch_index(repository) as git:
        git.run("read-tree", base)
        _apply(git, patch, "--cached")
        return git.text("write-tree")


def apply_to_files(repository: Repository, patch: str, *, staged: bool = False) -> None:
    """Apply a patch to the work tree, all of it or nothing.

    Args:
        repository: the user's.
        patch: unified git diff.
        staged: apply it to the index as well, which must agree with the files.

    Raises:
        PatchDoesNotApplyError: it does not fit the files as they are.
    """
    index = repository.git_dir / "index" if staged else None
    git = replace(repository.view, work_tree=repository.root, index=index)
    if staged:
        git = replace(git, objects=repository.objects)
    _apply(git, patch, *(("--index",) if staged else ()))


def fits_files(repository: Repository, patch: str) -> bool:
    """Whether a patch fits the work tree as it is."""
    try:
        _apply(replace(repository.view, work_tree=repository.root), patch, "--check")
    except PatchDoesNotApplyError:
        return False
    return True


def commit_tree(repository: Repository, tree: str, parents: Sequence[str], message: str) -> str:
    """Write a commit under the user's name; no ref is moved and no hook or signature is made.

    Raises:
        RepositoryError: the user has no git identity.
    """
    git = replace(repository.view, objects=repository.objects)
    over = [part for parent in parents for part in ("-p", parent)]
    env = identity_variables(repository)
    return git.text("commit-tree", tree, *over, stdin=message.encode("utf-8", "replace"), env=env)


def move_ref(repository: Repository, ref: str, new: str, old: str, reason: str) -> None:
    """Point a ref at a commit, if it still is at `old` (empty: if there is none).

    Raises:
        RepositoryError: it moved meanwhile, or exists.
    """
    zero = "0" * len(new)
    env = identity_variables(repository)
    try:
        repository.own.run("update-ref", "-m", reason, ref, new, old or zero, env=env)
    except GitError as error:
        raise RepositoryError(
            f"{ref} cannot be set: {error.cause}", "see `git log` and `git reflog`"
        ) from error


def identity_variables(repository: Repository) -> dict[str, str]:
    """Author and committer as git would take them: from the environment, then configuration.

    Raises:
        RepositoryError: there are none.
    """
    return {
        f"GIT_{role}_{part}": _identity(repository.config, role, part)
        for role in ("AUTHOR", "COMMITTER")
        for part in ("NAME", "EMAIL")
    }


def _identity(config: Mapping[str, str], role: str, part: str) -> str:
    keys = (f"{role}.{part}".lower(), f"user.{part}".lower())
    candidates = [os.environ.get(f"GIT_{role}_{part}"), *(config.get(key) for key in keys)]
    found = next((value for value in candidates if value), None)
    if found is None:
        raise RepositoryError(
            f"git does not know your {part.lower()}",
            f'git config --global user.{part.lower()} "…"',
        )
    return found


def _apply(git: GitDir, patch: str, *options: str) -> None:
    text = patch if patch.endswith("\n") else f"{patch}\n"
    try:
        git.run(
            "apply",
            "--whitespace=nowarn",
            *options,
            "-",
            stdin=text.encode("utf-8", "surrogateescape"),
        )
    except GitError as error:
        said = error.cause.removeprefix("git apply failed: ").removeprefix("error: ")
        raise PatchDoesNotApplyError(f"the patch does not apply: {said}") from error
