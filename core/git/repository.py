"""A repository of the user's, opened for reading."""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from evo_agent.core.errors import RepositoryError
from evo_agent.core.git.harden import GitDir, GitError, execute, git_environment
from evo_agent.core.git.lfs import unchanged_pointer
from evo_agent.core.git.view import TemporaryFolder, borrow_objects, init_bare, make_view

STATE_FOLDER = ".evo"  # the same as core.config's, which this layer does not import
CONFIG_FILE = "evo.toml"  # `evo init` writes it; until it is committed it is no work in progress

# Keys with a name in the middle that name a program.
_PROGRAM_KEYS = re.compile(
    r"^(filter\..*\.(clean|smudge|process)|diff\..*\.(command|textconv)|merge\..*\.driver"
    r"|remote\..*\.(uploadpack|receivepack|vcs|proxy)|credential\..*\.helper|alias\..*"
    r"|difftool\..*\.cmd|mergetool\..*\.cmd|man\..*\.cmd|browser\..*\.cmd|gpg\..*\.program"
    r"|trailer\..*\.(command|cmd)|pager\..*|submodule\..*\.update|core\.gitproxy)$",
    re.DOTALL,
)


@dataclass(frozen=True)
class Repository:
    """A git repository with a work tree and at least one commit; see `open_repository`.

    Attributes:
        root: top folder of the work tree.
        git_dir: its git folder (a linked work tree has its own).
        common_dir: the git folder with objects and refs.
        object_format: sha1 or sha256.
        shallow: whether the history was cut.
    """

    root: Path
    git_dir: Path
    common_dir: Path
    object_format: str = "sha1"
    shallow: bool = False

    @cached_property
    def config(self) -> Mapping[str, str]:
        """The effective configuration, user's and system's included; data, never handed on."""
        argv = GitDir(self.git_dir).command("config", "--includes", "--list", "-z")
        listed = execute(argv, git_environment(user_config=True), cwd=self.root)
        pairs = (entry.partition("\n") for entry in listed.decode("utf-8", "replace").split("\0"))
        return {key: value for key, _, value in pairs if key}

    @cached_property
    def own(self) -> GitDir:
        """The user's git folder, for reading refs and moving them, and nothing else."""
        silenced = tuple(key for key in self.config if _PROGRAM_KEYS.match(key))
        return GitDir(self.git_dir, silenced=silenced)

    @cached_property
    def view(self) -> GitDir:
        """A private git folder with the same objects; refs as they were when first asked for."""
        folder = make_view(self.own, self.common_dir, self.object_format, self.config)
        return GitDir(folder, keeper=TemporaryFolder(folder))

    @property
    def objects(self) -> Path:
        """The object store."""
        return self.common_dir / "objects"

    def private_folder(self, folder: Path, settings: Mapping[str, str]) -> GitDir:
        """Make a git folder of evo's own that reads this repository's objects."""
        unread = {"core.excludesfile": "/dev/null", "core.attributesfile": "/dev/null"}
        made = init_bare(folder, self.object_format, unread | dict(settings))
        borrow_objects(folder, self.objects)
        return made

    @property
    def head(self) -> str:
        """Full SHA of the commit checked out, as of now."""
        return self.resolve("HEAD")

    @property
    def branch(self) -> str:
        """Name of the branch checked out; empty when detached."""
        try:
            return self.own.text("symbolic-ref", "-q", "--short", "HEAD")
        except GitError:
            return ""

    @property
    def remote_url(self) -> str:
        """URL of `origin`, or of the only remote; empty when there is none."""
        urls = {k: v for k, v in self.config.items() if re.fullmatch(r"remote\..*\.url", k)}
        return urls.get("remote.origin.url") or next(iter(urls.values()), "")

    @cached_property
    def identity(self) -> str:
        """The same for every clone: the root commit's SHA, or for a shallow one the remote's hash.

        The root is found along first parents, so that a history merged in does not change it.
        """
        if self.shallow and self.remote_url:
            return hashlib.sha256(normal_url(self.remote_url).encode()).hexdigest()[:40]
        return self.view.text("rev-list", "--first-parent", "--max-parents=0", "HEAD")

    def resolve(self, ref: str) -> str:
        """Full SHA of the commit that a branch, tag or SHA names.

        Raises:
            RepositoryError: it names none.
        """
        try:
            return self.own.text(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
            )
        except GitError as error:
            raise RepositoryError(
                f"{ref!r} names no commit in {self.root}", "see `git log --oneline --all`"
            ) from error

    def is_dirty(self) -> bool:
        """Whether anything is changed, staged or untracked, as `dirty_paths` sees it."""
        return bool(self.dirty_paths())

    def dirty_paths(self) -> tuple[str, ...]:
        """Paths that differ from HEAD or are untracked, relative to the root, sorted.

        Evo's own files do not count: `.evo/`, and an evo.toml that git does not know yet.
        Submodules are not looked into: git would run with their configuration.
        """
        with tempfile.TemporaryDirectory(prefix="evo-index-") as scratch:
            index = Path(scratch) / "index"
            if (self.git_dir / "index").is_file():
                shutil.copyfile(self.git_dir / "index", index)
            tree = replace(self.view, work_tree=self.root, index=index)
            options = ("--porcelain", "-z", "--no-renames", "--ignore-submodules=all")
            (self.view.path / "HEAD").write_text(self.head + "\n")
            status = tree.run("status", *options, "--untracked-files=normal")
            entries = [e for e in status.decode("utf-8", "surrogateescape").split("\0") if e]
            return tuple(sorted(e[3:] for e in entries if self._counts(e, tree)))

    def _counts(self, entry: str, tree: GitDir) -> bool:
        state, path = entry[:2], entry[3:]
        if path.split("/", 1)[0] == STATE_FOLDER or entry == f"?? {CONFIG_FILE}":
            return False
        return state != " M" or not unchanged_pointer(tree, path)


def open_repository(path: Path) -> Repository:
    """Open the repository that a path lies in.

    Args:
        path: its root, or any folder or file below.

    Raises:
        RepositoryError: there is none, it has no work tree or no commit, or it belongs to
            somebody else and git was not told to trust it.
    """
    start = path if path.is_dir() else path.parent
    if not path.exists():
        raise RepositoryError(f"{path} does not exist", "give the path of a git repository")
    # The user's configuration says which folders of other owners are trusted (safe.directory).
    env = git_environment(user_config=True)
    folders = _ask(start, env, "--absolute-git-dir", "--git-common-dir")
    kind = ("--is-bare-repository", "--is-shallow-repository", "--show-object-format")
    bare, shallow, object_format = _ask(start, env, *kind)
    if bare == "true":
        raise RepositoryError(f"{path} is a bare repository", "clone it, and work in the clone")
    (top,) = _ask(start, env, "--show-toplevel")
    root = Path(top).resolve()
    if not start.resolve().is_relative_to(root) or not (root / ".git").exists():
        raise RepositoryError(
            f"the work tree of {path} lies elsewhere (core.worktree = {top})",
            "unset core.worktree, or start in the work tree",
        )
    repository = Repository(
        root,
        Path(folders[0]),
        (start / folders[1]).resolve(),
        object_format,
        shallow == "true",
    )
    _check_born(repository)
    return repository


def git_command(repository: Repository, *arguments: str) -> list[str]:
    """The argv for reading a repository's objects and refs with git, for code that streams.

    To be run with `git_environment()`, while the repository object is alive: its view goes
    with it. No configuration takes part, and refs are as they were when the view was made.
    """
    return repository.view.command(*arguments)


def ignore_state_folder(root: Path) -> Path:
    """Make `.evo/` with a .gitignore of its own, so that evo never dirties the tree.

    Raises:
        RepositoryError: it cannot be written.
    """
    folder = root / STATE_FOLDER
    try:
        folder.mkdir(exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", "utf-8")
        with tempfile.TemporaryFile(dir=folder):
            pass  # an existing folder may still be read-only
    except OSError as error:
        raise RepositoryError(
            f"{folder} cannot be written: {error.strerror}", f"make {folder} writable"
        ) from error
    return folder


def normal_url(url: str) -> str:
    """host/path of a remote, whatever the scheme, user, port or ending it is written with."""
    match = re.match(
        r"^(?:[a-z+]+://)?(?:[^@/]*@)?([^:/]*)(?::\d+(?=/))?[:/]+(.*)$", url, re.IGNORECASE
    )
    host, path = match.groups() if match else ("", url)
    return f"{host.lower()}/{path.rstrip('/').removesuffix('.git')}"


def _ask(start: Path, env: dict[str, str], *questions: str) -> list[str]:
    argv = ["git", "-C", str(start), "rev-parse", *questions]
    try:
        answer = execute(argv, env, cwd=start).decode("utf-8", "surrogateescape")
    except GitError as error:
        raise _explained(error, start) from error
    return answer.removesuffix("\n").split("\n")


def _explained(error: GitError, start: Path) -> RepositoryError:
    if "dubious ownership" in error.stderr or "unsafe repository" in error.stderr:
        return RepositoryError(
            f"{start} belongs to another user",
            f"if you trust it: git config --global --add safe.directory {start}",
        )
    if "not a git repository" in error.stderr:
        return RepositoryError(
            f"{start} is not in a git repository", "go to one, or run `git init` and commit"
        )
    return RepositoryError(f"{start} cannot be opened: {error.cause}", "check it with `git status`")


def _check_born(repository: Repository) -> None:
    try:
        _ = repository.head
    except RepositoryError as error:
        raise RepositoryError(
            f"{repository.root} has no commit yet", "commit something first"
        ) from error
