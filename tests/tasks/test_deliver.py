"""Where a fix goes, what is never touched, and what is said when it cannot go there."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.tasks.github_server import GitHubServer

from evo_agent.core.config import load_config
from evo_agent.core.errors import EvoError, RepositoryError, StoreError, UsageError
from evo_agent.core.git import Repository, ignore_state_folder, open_repository
from evo_agent.core.git.push import push_branch
from evo_agent.core.git.stash import bring_back, set_aside
from evo_agent.sandboxes.workspace import Workspace
from evo_agent.tasks.deliver import Delivery, check_delivery, deliver, ensure_clean
from evo_agent.tasks.init import write_config
from evo_agent.tasks.pull import check_pull

LINES = "".join(f"line {number}\n" for number in range(40))
FIXED = LINES.replace("line 5\n", "line five\n")


def git(repo: Path, *arguments: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    argv = ["git", "-C", str(repo), *arguments]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Case:
    """A repository, a fix for it, and the folder of the run that found the fix."""

    def __init__(self, repo: Path, folder: Path) -> None:
        self.repo = repo
        self.repository: Repository = open_repository(repo)
        self.base = self.repository.head
        workspace = Workspace.create(self.repository, "HEAD", folder / "w")
        (workspace.folder / "a.txt").write_text(FIXED)
        (workspace.folder / "new.sh").write_text("#!/bin/sh\n")
        (workspace.folder / "new.sh").chmod(0o755)
        self.patch = workspace.diff()
        self.run = ignore_state_folder(repo) / "runs" / "r1"
        self.run.mkdir(parents=True)

    def deliver(self, mode: str, target: str = "", **options: Any) -> str:
        return deliver(
            self.repository,
            self.patch,
            Delivery(mode, target),
            base=self.base,
            message="Spell five out\n\nProved by test_five.",
            run=self.run,
            **options,
        )

    @property
    def kept(self) -> str:
        return (self.run / "fix.patch").read_text()

    def status(self) -> list[str]:
        return git(self.repo, "status", "--porcelain").splitlines()


@pytest.fixture
def case(repo_factory: Any, tmp_path: Path) -> Case:
    return Case(repo_factory(({"a.txt": LINES, "b.txt": "b\n"}, "one")), tmp_path)


def test_into_the_work_tree(case: Case):
    assert case.deliver("tree") == f"applied to {case.repo}, not committed"
    assert (case.repo / "a.txt").read_text() == FIXED
    assert case.status() == [" M a.txt", "?? new.sh"]
    assert os.access(case.repo / "new.sh", os.X_OK)
    assert case.repository.head == case.base


def test_as_a_commit(case: Case):
    line = case.deliver("commit")
    assert line == f"committed as {case.repository.head[:12]} on main"
    assert case.status() == []
    told = git(case.repo, "log", "-1", "--format=%an <%ae>%n%P%n%B").strip().splitlines()
    assert told[:3] == ["Ada <ada@example.org>", case.base, "Spell five out"]
    assert told[-1] == "Proved by test_five."
    assert "evo: fix" in git(case.repo, "reflog", "-1")
    assert git(case.repo, "fsck", "--full") == ""


def test_a_configuration_that_init_wrote_is_neither_in_the_way_nor_committed(case: Case):
    write_config(case.repo, load_config(case.repo))
    check_delivery(case.repository, Delivery("commit"))
    assert "committed as" in case.deliver("commit")
    assert case.status() == ["?? evo.toml"]


def test_as_a_commit_on_a_detached_head(case: Case):
    git(case.repo, "checkout", "-q", "--detach")
    assert "on a detached HEAD" in case.deliver("commit")
    assert case.status() == []
    assert git(case.repo, "rev-parse", "main").strip() == case.base


def test_on_a_new_branch_with_a_dirty_tree(case: Case):
    (case.repo / "a.txt").write_text("my own work\n")
    check_delivery(case.repository, Delivery("branch", "fix/five"))
    assert "on the new branch fix/five" in case.deliver("branch", "fix/five")
    assert (case.repo / "a.txt").read_text() == "my own work\n"
    assert git(case.repo, "show", "fix/five:a.txt") == FIXED
    assert case.repository.head == case.base
    assert "on the new branch evo/spell-five-out" in case.deliver("branch")
    assert "on the new branch evo/spell-five-out-2" in case.deliver("branch")


def test_into_a_file(case: Case, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]):
    target = tmp_path / "out.patch"
    assert f"patch written to {target}" in case.deliver("patch", str(target))
    git(case.repo, "apply", "--index", str(target))
    assert (case.repo / "a.txt").read_text() == FIXED
    case.deliver("patch", "-")
    assert capsysbinary.readouterr().out.decode() == case.patch


def test_a_file_that_cannot_be_written_loses_nothing(case: Case, tmp_path: Path):
    line = case.deliver("patch", str(tmp_path))
    assert "not applied" in line
    assert case.kept == case.patch


def test_when_not_even_the_runs_folder_can_be_written(case: Case):
    (case.repo / "b.txt").write_text("mine\n")
    (case.run / "fix.patch").mkdir()
    with pytest.raises(StoreError, match=r"fix\.patch cannot be written") as caught:
        case.deliver("tree")
    assert "patch.diff" in caught.value.remedy


def test_nothing_is_forced_over_a_change_made_during_the_run(case: Case):
    (case.repo / "b.txt").write_text("typed while evo worked\n")
    for mode in ("tree", "commit"):
        line = case.deliver(mode)
        assert "files changed during the run (b.txt)" in line
        assert case.status() == [" M b.txt"]
    assert case.kept == case.patch


def test_nothing_is_forced_over_a_commit_made_during_the_run(case: Case):
    (case.repo / "b.txt").write_text("x\n")
    git(case.repo, "commit", "-qam", "meanwhile")
    assert "commits were made during the run" in case.deliver("tree", stash=True)
    assert case.status() == []
    assert case.kept == case.patch


@pytest.mark.parametrize("mode", ["tree", "commit"])
def test_uncommitted_work_is_put_aside_and_back(case: Case, mode: str):
    repo = case.repo
    mine = LINES.replace("line 35\n", "mine\n")
    (repo / "a.txt").write_text(mine)
    (repo / "b.txt").unlink()
    (repo / "staged.txt").write_text("staged\n")
    git(repo, "add", "staged.txt")
    (repo / "staged.txt").write_text("staged, then changed\n")
    (repo / "sub").mkdir()
    (repo / "sub" / "untracked ü").write_bytes(b"\0\1")
    (repo / "sub" / "link").symlink_to("nowhere")
    with pytest.raises(RepositoryError, match=r"uncommitted changes in a\.txt, b\.txt"):
        ensure_clean(case.repository)
    ensure_clean(case.repository, stash=True)
    assert "your uncommitted work is back" in case.deliver(mode, stash=True)
    assert (repo / "a.txt").read_text() == mine.replace("line 5\n", "line five\n")
    assert not (repo / "b.txt").exists()
    assert (repo / "staged.txt").read_text() == "staged, then changed\n"
    assert git(repo, "show", ":staged.txt") == "staged\n"
    assert (repo / "sub" / "untracked ü").read_bytes() == b"\0\1"
    assert (repo / "sub" / "link").readlink() == Path("nowhere")
    assert git(repo, "stash", "list") == ""
    if mode == "commit":
        assert git(repo, "show", "--format=", "--name-only", "HEAD").split() == ["a.txt", "new.sh"]


def test_work_on_the_same_lines_is_kept_as_a_stash(case: Case):
    (case.repo / "a.txt").write_text(LINES.replace("line 5\n", "mine\n"))
    (case.repo / "note").write_text("n\n")
    line = case.deliver("commit", stash=True)
    assert "committed as" in line
    assert "kept as a stash" in line
    assert case.status() == []
    assert len(git(case.repo, "stash", "list").splitlines()) == 1
    assert "+mine" in git(case.repo, "stash", "show", "-p", "stash@{0}")
    git(case.repo, "checkout", "-q", case.base)
    git(case.repo, "stash", "pop")  # git itself can read what evo wrote
    assert "mine" in (case.repo / "a.txt").read_text()
    assert (case.repo / "note").read_text() == "n\n"


def test_an_earlier_stash_is_left_alone(case: Case):
    (case.repo / "b.txt").write_text("earlier\n")
    git(case.repo, "-c", "user.name=A", "-c", "user.email=a@b", "stash", "push", "-m", "earlier")
    (case.repo / "b.txt").write_text("now\n")
    assert "is back" in case.deliver("tree", stash=True)
    assert (case.repo / "b.txt").read_text() == "now\n"
    assert git(case.repo, "stash", "list").strip().endswith("earlier")


def test_a_new_file_in_the_way_of_untracked_work(case: Case):
    (case.repo / "new.sh").write_text("my own script\n")
    line = case.deliver("tree", stash=True)
    assert "kept as a stash" in line
    assert "#!/bin/sh" in (case.repo / "new.sh").read_text()
    assert git(case.repo, "show", "stash@{0}^3:new.sh") == "my own script\n"


def test_aside_and_back_without_a_change_between_is_exact(case: Case):
    (case.repo / "a.txt").write_text("x\r\n")
    (case.repo / "b.txt").chmod(0o755)
    git(case.repo, "add", "b.txt")
    before = (case.status(), git(case.repo, "diff"), git(case.repo, "diff", "--cached"))
    aside = set_aside(case.repository, "test")
    assert case.status() == []
    assert bring_back(case.repository, aside)
    assert (case.status(), git(case.repo, "diff"), git(case.repo, "diff", "--cached")) == before


def test_an_unfinished_merge_is_not_put_aside(case: Case):
    git(case.repo, "checkout", "-qb", "side")
    (case.repo / "b.txt").write_text("side\n")
    git(case.repo, "commit", "-qam", "side")
    git(case.repo, "checkout", "-q", "main")
    (case.repo / "b.txt").write_text("main\n")
    git(case.repo, "commit", "-qam", "main")
    case.base = case.repository.head
    subprocess.run(["git", "-C", str(case.repo), "merge", "-q", "side"], check=False)
    before = (case.repo / "b.txt").read_text()
    assert "cannot be put aside" in case.deliver("tree", stash=True)
    assert (case.repo / "b.txt").read_text() == before
    assert case.kept == case.patch


def test_a_patch_that_no_longer_fits_is_kept(case: Case):
    case.patch = case.patch.replace("-line 5", "-line fifty")
    for mode in ("tree", "commit", "branch"):
        assert "does not apply" in case.deliver(mode)
    assert case.status() == []
    assert case.repository.head == case.base
    assert git(case.repo, "branch", "--format=%(refname:short)").split() == ["main"]


@pytest.mark.parametrize(
    ("delivery", "cause"),
    [
        (Delivery("branch", "main"), "exists already"),
        (Delivery("branch", "a..b"), "cannot be a branch"),
        (Delivery("branch", "-x"), "cannot be a branch"),
        (Delivery("teleport"), "unknown delivery"),
        (Delivery("patch", "/nonexistent/x.patch"), "cannot be written"),
        (Delivery("pr"), "no GitHub remote"),
    ],
)
def test_what_cannot_be_is_said_before_the_run(case: Case, delivery: Delivery, cause: str):
    with pytest.raises(EvoError, match=cause) as caught:
        check_delivery(case.repository, delivery)
    assert caught.value.remedy
    assert "\n" not in caught.value.cause


def test_without_an_identity(case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for key in ("user.name", "user.email"):
        git(case.repo, "config", "--unset", key)
    repository = open_repository(case.repo)
    with pytest.raises(RepositoryError, match="git does not know your name") as caught:
        check_delivery(repository, Delivery("commit"))
    assert "git config" in caught.value.remedy
    check_delivery(repository, Delivery("tree"))


@pytest.fixture
def github(tmp_path: Path, case: Case) -> Iterator[GitHubServer]:
    """A server with the bare repository ada/engine.git, which is the case's origin."""
    bare = tmp_path / "served" / "ada" / "engine.git"
    git(tmp_path, "clone", "-q", "--bare", str(case.repo), str(bare))
    git(bare, "config", "http.receivepack", "true")
    with GitHubServer(repositories=tmp_path / "served") as server:
        git(case.repo, "remote", "add", "origin", f"{server.url}/ada/engine.git")
        case.repository = open_repository(case.repo)
        yield server


def environ_for(github: GitHubServer) -> dict[str, str]:
    return {"GITHUB_API_URL": github.url, "GITHUB_TOKEN": "secret"}


def test_as_a_draft_pull_request(github: GitHubServer, case: Case, tmp_path: Path):
    address = "https://github.com/ada/engine/pull/8"
    github.json("/repos/ada/engine/pulls", 201, {"number": 8, "html_url": address})
    line = case.deliver("pr", environ=environ_for(github))
    assert line == f"draft pull request opened: {address} (branch evo/spell-five-out)"
    bare = tmp_path / "served" / "ada" / "engine.git"
    assert git(bare, "show", "evo/spell-five-out:a.txt") == FIXED
    sent = json.loads(github.seen[-1].body)
    assert sent == {
        "title": "Spell five out",
        "body": "Proved by test_five.",
        "head": "evo/spell-five-out",
        "base": "main",
        "draft": True,
    }
    pushed = {seen.headers.get("authorization") for seen in github.seen if ".git/" in seen.path}
    token = base64.b64encode(b"x-access-token:secret").decode()
    assert pushed == {f"Basic {token}"}
    assert case.status() == []


def test_the_token_is_not_pushed_to_another_host(github: GitHubServer, case: Case):
    with GitHubServer() as api:
        api.json("/repos/ada/engine/pulls", 201, {"html_url": "x"})
        case.deliver("pr", environ={"GITHUB_API_URL": api.url, "GITHUB_TOKEN": "secret"})
        assert api.seen[-1].headers["authorization"] == "Bearer secret"
    assert github.seen
    assert not any("authorization" in seen.headers for seen in github.seen)


def test_a_pull_request_that_is_refused(github: GitHubServer, case: Case):
    github.json("/repos/ada/engine/pulls", 403, {"message": "Resource not accessible"})
    line = case.deliver("pr", environ=environ_for(github))
    assert "committed on the branch evo/spell-five-out, but GitHub refuses" in line
    assert case.kept == case.patch
    assert git(case.repo, "show", "evo/spell-five-out:a.txt") == FIXED


@pytest.mark.parametrize("url", ["{}", "file://{}", "ext::touch% {}/canary"])
def test_a_remote_that_would_run_something_here_is_not_pushed_to(
    case: Case, tmp_path: Path, url: str
):
    """A folder's hooks would run on this machine: a repository may name one of its own."""
    trap = tmp_path / "o" / "r.git"
    git(tmp_path, "clone", "-q", "--bare", str(case.repo), str(trap))
    (trap / "hooks").mkdir(exist_ok=True)
    (trap / "hooks" / "post-receive").write_text(f"#!/bin/sh\ntouch {trap}/canary\n")
    (trap / "hooks" / "post-receive").chmod(0o755)
    git(case.repo, "remote", "add", "origin", url.format(trap))
    with pytest.raises(RepositoryError):
        push_branch(open_repository(case.repo), case.base, "x")
    assert not (trap / "canary").exists()


def test_a_pull_request_needs_a_token(github: GitHubServer, case: Case):
    assert github.url
    assert "needs a token" in case.deliver("pr", environ={"GITHUB_API_URL": github.url})
    with pytest.raises(UsageError, match="needs a token"):
        check_pull(case.repository, {"GITHUB_API_URL": github.url})
