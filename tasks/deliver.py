"""Handing a fix over: into the work tree, a branch, a commit, a file or a pull request.

Nothing is forced. Where the repository is no longer as the run found it, or the fix cannot go
where it was to go, it is kept in the run's folder and the answer says so. Hooks of the
repository do not run, and commits are not signed: that would execute what a repository or a
configuration names; the commit is the user's own to amend.
"""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evo_agent.core.errors import EvoError, RepositoryError, StoreError, UsageError
from evo_agent.core.git import GitError, Repository
from evo_agent.core.git.stash import bring_back, set_aside
from evo_agent.core.git.writing import (
    apply_to_files,
    commit_tree,
    identity_variables,
    move_ref,
    tree_with,
)

MODES = ("tree", "branch", "commit", "patch", "pr")
KEPT_PATCH = "fix.patch"  # in the run's folder, when it could not go where it was to go


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where a fix goes.

    Attributes:
        mode: tree (the work tree, uncommitted), branch, commit, patch or pr.
        target: name of the branch (branch, pr; empty makes one up) or path of the patch file
            ("-" is stdout).
    """

    mode: str = "tree"
    target: str = ""

    @property
    def touches_files(self) -> bool:
        """Whether the user's work tree changes, which therefore has to be clean."""
        return self.mode in ("tree", "commit")


@dataclass(frozen=True, slots=True)
class Fix:
    """What is handed over.

    Attributes:
        patch: unified git diff against base.
        base: full SHA of the commit that the run started from.
        message: for the commit and the pull request; the first line is the title.
        run: the run's folder.
    """

    patch: str
    base: str
    message: str
    run: Path


def ensure_clean(repository: Repository, *, stash: bool = False) -> None:
    """Refuse a dirty work tree before a run starts, unless its work may be put aside.

    Raises:
        RepositoryError: it is dirty; says with what.
    """
    dirty = repository.dirty_paths()
    if dirty and not stash:
        raise RepositoryError(
            f"uncommitted changes in {_some(dirty)}",
            "commit them, pass --stash, or deliver with --branch or --patch",
        )


def check_delivery(repository: Repository, delivery: Delivery, *, stash: bool = False) -> None:
    """Find out before a run starts whether its fix could be handed over.

    Raises:
        UsageError: the delivery makes no sense (unknown mode, impossible branch name).
        RepositoryError: a dirty tree, a branch that exists, no git identity.
    """
    if delivery.mode not in MODES:
        raise UsageError(f"unknown delivery {delivery.mode!r}", f"one of {', '.join(MODES)}")
    if delivery.touches_files:
        ensure_clean(repository, stash=stash)
    if delivery.mode in ("commit", "branch", "pr") or stash:
        identity_variables(repository)
    if delivery.mode in ("branch", "pr") and delivery.target:
        check_new_branch(repository, delivery.target)
    if delivery.mode == "pr":
        from evo_agent.tasks.pull import check_pull  # noqa: PLC0415  (needs the network)

        check_pull(repository, os.environ)
    if delivery.mode == "patch" and delivery.target not in ("", "-"):
        folder = Path(delivery.target).absolute().parent
        if not os.access(folder, os.W_OK):
            raise UsageError(f"{folder} cannot be written", "name a file in a folder that can")


def deliver(
    repository: Repository,
    patch: str,
    delivery: Delivery,
    *,
    base: str,
    message: str,
    run: Path,
    stash: bool = False,
    environ: Mapping[str, str] | None = None,
) -> str:
    """Hand a fix over.

    Args:
        repository: the user's.
        patch: unified git diff against base.
        delivery: where it goes.
        base: full SHA of the commit that the run started from.
        message: for the commit and the pull request; the first line is the title.
        run: the run's folder; the patch is kept there when it cannot go where it should.
        stash: put uncommitted work aside and back.
        environ: for the token of a pull request (default: the process's environment).

    Returns:
        One line that says what was done.
    """
    fix = Fix(patch, base, message, run)
    try:
        if delivery.mode == "patch":
            return _to_file(fix, delivery.target)
        if delivery.mode == "branch":
            return _to_branch(repository, fix, delivery.target)
        if delivery.mode == "pr":
            from evo_agent.tasks.pull import open_pull  # noqa: PLC0415  (needs the network)

            return open_pull(repository, fix, delivery.target, environ or os.environ)
        return _to_files(repository, fix, commit=delivery.mode == "commit", stash=stash)
    except (EvoError, OSError) as error:
        return _kept(fix, str(error))


def _to_file(fix: Fix, target: str) -> str:
    if target == "-":
        sys.stdout.write(fix.patch)
        sys.stdout.flush()
        return "patch written to stdout"
    path = Path(target) if target else fix.run / KEPT_PATCH
    path.write_bytes(fix.patch.encode("utf-8", "surrogateescape"))
    return f"patch written to {path}; apply it with: git apply {path}"


def _to_branch(repository: Repository, fix: Fix, target: str) -> str:
    name, commit = make_branch(repository, fix, target)
    return f"committed as {commit[:12]} on the new branch {name}"


def make_branch(repository: Repository, fix: Fix, target: str) -> tuple[str, str]:
    """Commit a fix on a new branch; the work tree is not touched.

    Args:
        repository: the user's.
        fix: what to commit.
        target: name of the branch; empty makes one up from the title.

    Returns:
        The branch's name and the commit's SHA.
    """
    name = target or _free_name(repository, fix.message)
    check_new_branch(repository, name)
    tree = tree_with(repository, fix.base, fix.patch)
    commit = commit_tree(repository, tree, [fix.base], fix.message)
    move_ref(repository, f"refs/heads/{name}", commit, "", "evo: fix")
    return name, commit


def check_new_branch(repository: Repository, name: str) -> None:
    """Raise an error unless a branch of this name can be made.

    Raises:
        UsageError: git allows no such name.
        RepositoryError: it exists.
    """
    try:
        repository.view.run("check-ref-format", f"refs/heads/{name}")
    except GitError as error:
        raise UsageError(
            f"{name!r} cannot be a branch's name", "see git-check-ref-format"
        ) from error
    if name.startswith("-"):
        raise UsageError(f"{name!r} cannot be a branch's name", "begin with a letter")
    if _exists(repository, name):
        raise RepositoryError(f"the branch {name} exists already", "choose another name")


def _exists(repository: Repository, name: str) -> bool:
    try:
        repository.resolve(f"refs/heads/{name}")
    except RepositoryError:
        return False
    return True


def _free_name(repository: Repository, message: str) -> str:
    title = message.strip().splitlines()[0] if message.strip() else "fix"
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:48].strip("-") or "fix"
    names = [f"evo/{slug}", *(f"evo/{slug}-{n}" for n in range(2, 1000))]
    return next(name for name in names if not _exists(repository, name))


def _to_files(repository: Repository, fix: Fix, *, commit: bool, stash: bool) -> str:
    if repository.head != fix.base:
        return _kept(fix, "commits were made during the run")
    dirty = repository.dirty_paths()
    if not dirty:
        return _apply(repository, fix, commit=commit)
    if not stash:
        return _kept(fix, f"files changed during the run ({_some(dirty)})")
    aside = set_aside(repository, f"evo: work before the fix {fix.run.name}")
    try:
        done = _apply(repository, fix, commit=commit)
    except EvoError as error:
        done = _kept(fix, str(error))
    if bring_back(repository, aside):
        return f"{done}; your uncommitted work is back"
    return (
        f"{done}; your uncommitted work touches the same lines and is kept as a stash: "
        "`git stash pop` brings it back, with conflicts to solve"
    )


def _apply(repository: Repository, fix: Fix, *, commit: bool) -> str:
    if not commit:
        apply_to_files(repository, fix.patch)
        return f"applied to {repository.root}, not committed"
    tree = tree_with(repository, fix.base, fix.patch)
    made = commit_tree(repository, tree, [fix.base], fix.message)
    apply_to_files(repository, fix.patch, staged=True)
    try:
        move_ref(repository, "HEAD", made, fix.base, "evo: fix")
    except RepositoryError as error:
        return f"applied and staged in {repository.root}, but not committed: {error}"
    return f"committed as {made[:12]} on {repository.branch or 'a detached HEAD'}"


def _kept(fix: Fix, why: str) -> str:
    path = fix.run / KEPT_PATCH
    try:
        path.write_bytes(fix.patch.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise StoreError(
            f"not applied: {why}; and {path} cannot be written: {error.strerror}",
            "make room, then take the patch from the run's patch.diff",
        ) from error
    return f"not applied: {why}; the patch is kept in {path} (git apply {path})"


def _some(paths: tuple[str, ...]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""  # noqa: PLR2004 a few names
    return ", ".join(paths[:3]) + more
