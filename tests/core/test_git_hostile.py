"""A repository may carry any `.git/config`, hook or nested repository: nothing of it runs."""

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.errors import EvoError, PatchRefusedError
from evo_agent.core.git import git_command, git_environment, open_repository
from evo_agent.sandboxes.workspace import Workspace
from evo_agent.tasks.deliver import Delivery, check_delivery, deliver

HOOKS = (
    *("pre-commit", "commit-msg", "prepare-commit-msg", "post-commit", "post-checkout"),
    *("post-merge", "post-index-change", "reference-transaction", "pre-push", "post-rewrite"),
    *("applypatch-msg", "pre-applypatch", "post-applypatch", "pre-auto-gc", "fsmonitor-watchman"),
)
ATTRIBUTES = "* filter=evil diff=evil merge=evil\n"


def plain_git(repo: Path, *arguments: str) -> None:
    """Git as a careless program runs it."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_PAGER_IN_USE": "1"}
    argv = ["git", "-C", str(repo), *arguments]
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": 60}
    subprocess.run(argv, env=env, check=False, **options)


def payload(folder: Path, name: str, canaries: Path) -> str:
    """A program that leaves a file behind, then behaves well enough to be called again."""
    script = folder / f"{name}.sh"
    relay = "cat 2>/dev/null" if name in ("clean", "smudge", "pager") else ""
    script.write_text(f"#!/bin/sh\ntouch '{canaries}/{name}'\n{relay}\nexit 0\n")
    script.chmod(0o755)
    return str(script)


def booby_trap(git_dir: Path, scripts: Path, canaries: Path) -> None:
    """Plant a payload behind every configuration key that names a program."""
    scripts.mkdir()
    canaries.mkdir()
    for folder in (git_dir / "hooks", scripts / "hooks"):
        folder.mkdir(exist_ok=True)
        for hook in HOOKS:
            target = folder / hook
            target.write_text(f"#!/bin/sh\ntouch '{canaries}/hook-{hook}'\n")
            target.chmod(0o755)

    def run(name: str) -> str:
        return payload(scripts, name, canaries)

    included = scripts / "included"
    included.write_text(f"[core]\n\tfsmonitor = {run('included-fsmonitor')}\n")
    (git_dir / "config.worktree").write_text(f"[core]\n\teditor = {run('worktree-editor')}\n")
    with (git_dir / "config").open("a") as config:
        config.write(
            f"""
[core]
	repositoryformatversion = 1
	fsmonitor = {run("fsmonitor")}
	hooksPath = {scripts}/hooks
	sshCommand = {run("ssh")}
	pager = {run("pager")}
	editor = {run("editor")}
	askPass = {run("askpass")}
	gitProxy = {run("proxy")}
	alternateRefsCommand = {run("alternate")}
[extensions]
	worktreeConfig = true
	partialClone = evil
[remote "evil"]
	url = ext::{run("ext")}
	promisor = true
	uploadpack = {run("uploadpack")}
	vcs = {run("vcs")}
[filter "evil"]
	clean = {run("clean")}
	smudge = {run("smudge")}
	required = true
[diff]
	external = {run("external")}
[diff "evil"]
	textconv = {run("textconv")}
	command = {run("command")}
[merge "evil"]
	driver = {run("merge")} %A
[gpg]
	program = {run("gpg")}
[commit]
	gpgSign = true
[tag]
	gpgSign = true
[log]
	showSignature = true
[credential]
	helper = {run("credential")}
[protocol "ext"]
	allow = always
[uploadpack]
	packObjectsHook = {run("packobjects")}
[alias]
	apply = !{run("alias")}
	status = !{run("alias")}
[trailer "evil"]
	command = {run("trailer")}
[submodule]
	recurse = true
[include]
	path = {included}
"""
        )


@pytest.fixture
def trapped(repo_factory: Any, tmp_path: Path) -> tuple[Path, Path]:
    """A repository full of payloads, and the folder where each would leave its mark."""
    repo = repo_factory(
        ({"a.py": "x = 1\n", "b.bin": b"\0\1", ".gitattributes": ATTRIBUTES}, "one"),
        ({"a.py": "x = 2\n"}, "two"),
    )
    booby_trap(repo / ".git", tmp_path / "scripts", tmp_path / "canaries")
    return repo, tmp_path / "canaries"


def fired(canaries: Path) -> set[str]:
    return {path.name for path in canaries.iterdir()}


def test_the_payloads_do_fire_under_plain_git(trapped: tuple[Path, Path]):
    repo, canaries = trapped
    (repo / "a.py").write_text("x = 3\n")
    plain_git(repo, "add", "a.py")
    plain_git(repo, "-p", "log", "-p", "-1")
    plain_git(repo, "diff", "HEAD")
    plain_git(repo, "diff", "--no-ext-diff", "HEAD~1")
    plain_git(repo, "commit", "-m", "x")
    plain_git(repo, "checkout", "-f", "HEAD~1")
    expected = {"clean", "smudge", "gpg", "hook-reference-transaction", "included-fsmonitor"}
    assert expected <= fired(canaries)
    assert fired(canaries) & {"command", "textconv", "external"}


def everything(repo: Path, folder: Path) -> None:
    """Every operation of evo on the host that has to do with git."""
    repository = open_repository(repo / "a.py")
    assert repository.branch == "main"
    assert len(repository.identity) == 40
    assert not repository.is_dirty()
    argv = git_command(repository, "log", "-p", "--all")
    done = subprocess.run(argv, env=git_environment(), capture_output=True, check=True)
    assert b"+x = 2" in done.stdout
    workspace = Workspace.create(repository, "HEAD", folder / "workspace")
    clean = workspace.snapshot()
    (workspace.folder / "a.py").write_text("x = 5\n")
    patch = workspace.diff()
    assert "+x = 5" in patch
    workspace.restore(clean)
    workspace.copy(folder / "second").apply(patch)
    run = folder / "run"
    run.mkdir()
    base = repository.head
    for mode in ("branch", "patch", "tree"):
        check_delivery(repository, Delivery(mode))
        done_line = deliver(repository, patch, Delivery(mode), base=base, message="Fix", run=run)
        assert "not applied" not in done_line
    (repo / "a.py").write_text("x = 2\n")
    (repo / "own.txt").write_text("own work\n")
    line = deliver(
        repository, patch, Delivery("commit"), base=base, message="Fix", run=run, stash=True
    )
    assert "your uncommitted work is back" in line
    assert (repo / "own.txt").read_text() == "own work\n"
    assert (repo / "a.py").read_text() == "x = 5\n"
    assert repository.head != base


def test_nothing_fires_under_evo(trapped: tuple[Path, Path], tmp_path: Path):
    repo, canaries = trapped
    everything(repo, tmp_path / "evo")
    assert fired(canaries) == set()


def test_nothing_fires_in_a_linked_work_tree(trapped: tuple[Path, Path], tmp_path: Path):
    repo, canaries = trapped
    linked = tmp_path / "linked"
    env = git_environment()
    argv = ["git", "-C", str(repo), "worktree", "add", "-q", "--no-checkout", str(linked)]
    subprocess.run(argv, env=env, check=True)
    target = (linked / ".git").read_text()
    assert target.startswith("gitdir: ")
    for stray in canaries.iterdir():
        stray.unlink()
    repository = open_repository(linked)
    assert repository.root == linked
    assert repository.head == open_repository(repo).head
    assert repository.dirty_paths()  # nothing was checked out
    Workspace.create(repository, "HEAD", tmp_path / "workspace").diff()
    assert fired(canaries) == set()


def test_a_missing_object_is_not_fetched(trapped: tuple[Path, Path], tmp_path: Path):
    repo, canaries = trapped
    sha = open_repository(repo).view.text("rev-parse", "HEAD:a.py")
    (repo / ".git" / "objects" / sha[:2] / sha[2:]).unlink()
    plain_git(repo, "cat-file", "-p", sha)
    assert fired(canaries)  # plain git asks the promisor remote
    for stray in canaries.iterdir():
        stray.unlink()
    with pytest.raises(EvoError, match=r"unable to read|invalid object|missing"):
        Workspace.create(open_repository(repo), "HEAD", tmp_path / "workspace")
    assert fired(canaries) == set()


def test_what_a_sandbox_plants_in_its_tree_does_not_run(repo_factory: Any, tmp_path: Path):
    repo = repo_factory(({"a.py": "x = 1\n"}, "one"))
    workspace = Workspace.create(open_repository(repo), "HEAD", tmp_path / "workspace")
    booby_trap(workspace.folder / ".git", tmp_path / "scripts", tmp_path / "canaries")
    (workspace.folder / ".gitattributes").write_text(ATTRIBUTES)
    (workspace.folder / "a.py").write_text("x = 2\n")
    assert "+x = 2" in workspace.diff()
    workspace.restore(workspace.snapshot())
    assert fired(tmp_path / "canaries") == set()


@pytest.mark.parametrize("form", ["folder", "file"])
def test_a_nested_repository_is_refused_and_does_not_run(
    repo_factory: Any, tmp_path: Path, form: str
):
    """`git add` and `git status` would run `git status` inside it, with its configuration."""
    repo = repo_factory(({"a.py": "x = 1\n", "lib/b.py": "y = 1\n"}, "one"))
    workspace = Workspace.create(open_repository(repo), "HEAD", tmp_path / "workspace")
    inner = repo_factory(({"c.py": "z = 1\n"}, "inner"), name="inner")
    booby_trap(inner / ".git", tmp_path / "scripts", tmp_path / "canaries")
    target = workspace.folder / "lib" / ".git"
    if form == "folder":
        (inner / ".git").rename(target)
    else:
        target.write_text(f"gitdir: {inner}/.git\n")
    with pytest.raises(PatchRefusedError, match=r"lib/\.git"):
        workspace.diff()
    clean = workspace.snapshot()
    workspace.restore(clean)
    assert workspace.diff() == ""
    assert not target.exists()
    assert fired(tmp_path / "canaries") == set()


def test_variables_of_a_surrounding_git_do_not_lead_astray(
    repo_factory: Any, monkeypatch: pytest.MonkeyPatch
):
    """A hook that starts evo has GIT_DIR and GIT_INDEX_FILE set."""
    here = repo_factory(({"a": "1"}, "here"), name="here")
    there = repo_factory(({"b": "1"}, "there"), name="there")
    monkeypatch.setenv("GIT_DIR", str(there / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(there / ".git" / "index"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "/nonexistent")
    repository = open_repository(here)
    assert repository.root == here
    assert not repository.is_dirty()


def test_the_scripts_can_be_run(tmp_path: Path):
    """The payloads themselves are sound: a canary that could never appear proves nothing."""
    (tmp_path / "canaries").mkdir()
    make: Callable[..., str] = payload
    script = make(tmp_path, "one", tmp_path / "canaries")
    assert Path(script).stat().st_mode & stat.S_IXUSR
    subprocess.run([script], stdin=subprocess.DEVNULL, check=True)
    assert fired(tmp_path / "canaries") == {"one"}
