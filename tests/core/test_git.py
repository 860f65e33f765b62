"""Opening repositories, good and bad, and knowing what state they are in."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core import config
from evo_agent.core.errors import EvoError, RepositoryError
from evo_agent.core.git import (
    STATE_FOLDER,
    git_command,
    git_environment,
    ignore_state_folder,
    open_repository,
)
from evo_agent.core.git.harden import OVERRIDES
from evo_agent.core.git.repository import normal_url
from evo_agent.tasks.init import write_config


def git(folder: Path, *arguments: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    env |= {f"GIT_{r}_{p}": "x" for r in ("AUTHOR", "COMMITTER") for p in ("NAME", "EMAIL")}
    argv = ["git", "-C", str(folder), "-c", "protocol.file.allow=always", *arguments]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def repo(repo_factory: Any) -> Path:
    made: Path = repo_factory(
        ({"a.py": "1\n", "pkg/b.py": "1\n", ".gitignore": "*.log\n"}, "one"),
        ({"a.py": "2\n"}, "two"),
    )
    return made


def fails(path: Path, match: str) -> RepositoryError:
    with pytest.raises(RepositoryError, match=match) as caught:
        open_repository(path)
    assert "\n" not in caught.value.cause
    assert caught.value.remedy
    return caught.value


def test_from_anywhere_inside(repo: Path):
    for path in (repo, repo / "pkg", repo / "pkg" / "b.py"):
        opened = open_repository(path)
        assert opened.root == repo
        assert opened.head == git(repo, "rev-parse", "HEAD")
        assert opened.branch == "main"
    git(repo, "checkout", "-q", "--detach")
    assert opened.branch == ""


def test_head_and_branches_are_read_anew(repo: Path):
    opened = open_repository(repo)
    before = opened.head
    assert not opened.is_dirty()
    git(repo, "checkout", "-q", "-b", "other", "HEAD~1")
    assert (opened.head, opened.branch) == (git(repo, "rev-parse", "HEAD"), "other")
    assert opened.resolve("main") == before
    assert not opened.is_dirty()


def test_what_cannot_be_opened(repo: Path, tmp_path: Path):
    (tmp_path / "plain").mkdir()
    fails(tmp_path / "missing", "does not exist")
    assert "git init" in fails(tmp_path / "plain", "is not in a git repository").remedy
    git(tmp_path, "clone", "-q", "--bare", str(repo), str(tmp_path / "bare"))
    fails(tmp_path / "bare", "bare repository")
    fails(repo / ".git", "cannot be opened|lies elsewhere|work tree")
    git(tmp_path, "init", "-q", str(tmp_path / "unborn"))
    assert "commit" in fails(tmp_path / "unborn", "has no commit yet").remedy
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / ".git").write_text("gitdir: /nonexistent\n")
    fails(tmp_path / "broken", "is not in a git repository")


def test_a_work_tree_that_lies_elsewhere(repo: Path, tmp_path: Path):
    """core.worktree = / would have a patch applied to the machine."""
    git(repo, "config", "core.worktree", "/")
    fails(repo, "lies elsewhere")
    git(repo, "config", "core.worktree", str(tmp_path))
    fails(repo, "lies elsewhere|cannot be opened")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_repository_of_somebody_else(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    subprocess.run(["chown", "-R", "1000:1000", str(repo)], check=True)
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    remedy = fails(repo, "belongs to another user").remedy
    assert remedy.endswith(f"git config --global --add safe.directory {repo}")
    trusting = tmp_path / "gitconfig"
    trusting.write_text(f"[safe]\n\tdirectory = {repo}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(trusting))
    assert open_repository(repo).root == repo


def test_names_that_are_no_commit(repo: Path):
    opened = open_repository(repo)
    blob = git(repo, "rev-parse", "HEAD:a.py")
    for ref in ("nowhere", "", blob, "--all", "-h", "HEAD\nmain", "HEAD~99"):
        with pytest.raises(RepositoryError, match="names no commit") as caught:
            opened.resolve(ref)
        assert "\n" not in caught.value.cause
    git(repo, "tag", "-a", "v1", "-m", "annotated", "HEAD~1")
    assert opened.resolve("v1") == opened.resolve("HEAD~1")


def test_every_kind_of_dirt_and_nothing_else(repo: Path):
    opened = open_repository(repo)
    ignore_state_folder(repo)
    (repo / "x.log").write_text("ignored\n")
    (repo / "a.py").touch()
    assert opened.dirty_paths() == ()
    (repo / "a.py").write_text("changed\n")
    (repo / "pkg" / "b.py").unlink()
    (repo / "new ü").write_text("untracked\n")
    (repo / "staged").write_text("staged\n")
    git(repo, "add", "staged")
    assert opened.dirty_paths() == ("a.py", "new ü", "pkg/b.py", "staged")


def test_the_state_folder_never_counts(repo: Path):
    (repo / STATE_FOLDER).mkdir()
    (repo / STATE_FOLDER / "without-ignore").write_text("x\n")
    assert not open_repository(repo).is_dirty()
    assert STATE_FOLDER == config.STATE_FOLDER


def test_a_configuration_that_init_wrote_is_no_work_in_progress(repo: Path):
    opened = open_repository(repo)
    write_config(repo, config.load_config(repo))
    assert opened.dirty_paths() == ()
    (repo / "pkg" / "evo.toml").write_text("another's\n")
    assert opened.dirty_paths() == ("pkg/evo.toml",)
    (repo / "pkg" / "evo.toml").unlink()
    git(repo, "add", "evo.toml")
    assert opened.dirty_paths() == ("evo.toml",)  # whoever stages it is at work on it
    git(repo, "commit", "-q", "-m", "configure evo")
    (repo / "evo.toml").write_text("[sandbox]\n")
    assert open_repository(repo).dirty_paths() == ("evo.toml",)


def test_reading_leaves_the_users_git_folder_as_it_is(repo: Path):
    def state() -> dict[str, tuple[int, bytes]]:
        files = [p for p in (repo / ".git").rglob("*") if p.is_file()]
        return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in files}

    before = state()
    opened = open_repository(repo)
    (repo / "a.py").write_text("changed\n")
    assert (opened.is_dirty(), bool(opened.identity)) == (True, True)
    subprocess.run(git_command(opened, "log"), env=git_environment(), check=True)
    assert state() == before


def test_line_ends_as_the_user_has_them_are_not_dirt(repo: Path, tmp_path: Path):
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "-c", "core.autocrlf=true", str(repo), str(clone))
    assert (clone / "a.py").read_bytes() == b"2\r\n"
    (clone / "a.py").write_bytes(b"2\r\n")  # rewritten, so that git has to compare
    assert not open_repository(clone).is_dirty()


def test_large_files_are_recognised_without_the_filter(repo: Path):
    content = b"large" * 100
    pointer = "version https://git-lfs.github.com/spec/v1\n"
    pointer += f"oid sha256:{hashlib.sha256(content).hexdigest()}\nsize {len(content)}\n"
    (repo / ".gitattributes").write_text("*.bin filter=lfs -text\n")
    (repo / "m.bin").write_text(pointer)
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "lfs")
    (repo / "m.bin").write_bytes(content)  # as the smudge filter leaves it
    opened = open_repository(repo)
    assert opened.dirty_paths() == ()
    (repo / "m.bin").write_bytes(content.replace(b"l", b"L"))
    assert opened.dirty_paths() == ("m.bin",)


def test_split_and_sparse_indexes(repo: Path):
    git(repo, "update-index", "--split-index")
    git(repo, "sparse-checkout", "set", "--cone", "other")
    assert not (repo / "pkg").exists()
    assert open_repository(repo).dirty_paths() == ()


def test_the_identity_is_the_same_in_every_clone(repo: Path, tmp_path: Path):
    root = git(repo, "rev-list", "--max-parents=0", "HEAD")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repo), str(clone))
    git(clone, "commit", "-q", "--allow-empty", "-m", "more")
    assert open_repository(repo).identity == open_repository(clone).identity == root
    git(clone, "checkout", "-q", "--orphan", "stranger")
    git(clone, "commit", "-q", "-m", "another root")
    git(clone, "checkout", "-q", "main")
    git(clone, "merge", "-q", "--allow-unrelated-histories", "-s", "ours", "stranger")
    assert open_repository(clone).identity == root


def test_the_identity_of_shallow_clones(repo: Path, tmp_path: Path):
    for name in ("one", "two"):
        git(tmp_path, "clone", "-q", "--depth=1", f"file://{repo}", str(tmp_path / name))
    git(tmp_path / "two", "remote", "set-url", "origin", f"file://user:pw@{repo}.git/")
    one, two = open_repository(tmp_path / "one"), open_repository(tmp_path / "two")
    assert one.shallow
    assert one.identity == two.identity
    assert one.identity != open_repository(repo).identity
    assert len(one.identity) == 40


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/Ada/engine",
        "https://github.com/Ada/engine.git",
        "https://user:token@GitHub.com/Ada/engine.git/",
        "git@github.com:Ada/engine.git",
        "ssh://git@github.com:22/Ada/engine.git",
        "git://github.com/Ada/engine",
    ],
)
def test_urls_of_the_same_remote(url: str):
    assert normal_url(url) == "github.com/Ada/engine"


def test_the_state_folder_ignores_itself(repo: Path):
    folder = ignore_state_folder(repo)
    assert ignore_state_folder(repo) == folder
    (folder / "runs").mkdir()
    (folder / "runs" / "x").write_text("x\n")
    assert git(repo, "status", "--porcelain") == ""


def test_a_state_folder_that_cannot_be(repo: Path):
    (repo / STATE_FOLDER).write_text("a file\n")
    with pytest.raises(EvoError, match="cannot be written") as caught:
        ignore_state_folder(repo)
    assert "writable" in caught.value.remedy
    assert "\n" not in caught.value.cause


def test_views_go_with_their_last_user(repo: Path):
    view = open_repository(repo).view  # the repository object is gone
    assert view.text("rev-parse", "HEAD") == git(repo, "rev-parse", "HEAD")
    path = view.path
    del view
    assert not path.exists()


def test_nothing_of_git_is_loaded_before_it_is_needed():
    program = "import sys; import evo_agent.core.git; print('git' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_without_git_there_is_one_line(repo: Path, tmp_path: Path):
    (tmp_path / "bin").mkdir()
    env_program = shutil.which("env")
    assert env_program
    (tmp_path / "bin" / "env").symlink_to(env_program)
    program = f"""
from pathlib import Path
from evo_agent.core.errors import MissingDependencyError
from evo_agent.core.git import open_repository
try:
    open_repository(Path({str(repo)!r}))
except MissingDependencyError as error:
    print(error.cause, "|", error.remedy)
"""
    env = {**os.environ, "PATH": str(tmp_path / "bin")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("git cannot be used")
    assert "install git" in done.stdout
    assert len(done.stdout.strip().splitlines()) == 1


def test_the_overrides_reach_git(repo: Path):
    git(repo, "config", "core.fsmonitor", "/bin/evil")
    git(repo, "config", "filter.x.clean", "/bin/evil")
    git(repo, "config", "diff.a.b.textconv", "/bin/evil")
    own = open_repository(repo).own
    assert own.text("config", "core.fsmonitor") == OVERRIDES["core.fsmonitor"]
    assert own.text("config", "filter.x.clean") == ""
    assert own.text("config", "diff.a.b.textconv") == ""
