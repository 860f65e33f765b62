"""The workspace holds the past and nothing else, and its diff is the one that git would print."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.errors import PatchDoesNotApplyError, PatchRefusedError, SandboxError
from evo_agent.core.git import Repository, open_repository
from evo_agent.sandboxes.workspace import Workspace

ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
    "GIT_CONFIG_KEY_1": "protocol.file.allow",
    "GIT_CONFIG_VALUE_1": "always",
} | {f"GIT_{r}_{p}": "ada@x" for r in ("AUTHOR", "COMMITTER") for p in ("NAME", "EMAIL")}


def git(folder: Path, *arguments: str) -> str:
    argv = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(argv, env=ENV, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode("utf-8", "surrogateescape")


@pytest.fixture
def story(repo_factory: Any) -> Path:
    """Three commits; HEAD~1 is where the work starts."""
    repo: Path = repo_factory(
        ({"a.py": "def f():\n    return 1\n", "pkg/b.py": "b = 1\n", ".gitignore": "*.log\n"}, "1"),
        ({"a.py": "def f():\n    return 2\n"}, "2"),
        ({"a.py": "def f():\n    return 3  # the answer\n", "secret.py": "gold\n"}, "3"),
    )
    git(repo, "tag", "light", "HEAD~2")
    git(repo, "tag", "-a", "v1", "-m", "first", "HEAD~1")
    git(repo, "tag", "-a", "future", "-m", "the answer is in it", "HEAD")
    git(repo, "branch", "other", "HEAD")
    git(repo, "remote", "add", "origin", "https://token@example.org/a/b.git")
    return repo


def make(repo: Path, tmp_path: Path, base: str = "HEAD", name: str = "w") -> Workspace:
    return Workspace.create(open_repository(repo), base, tmp_path / name)


def everything_in(tree: Path) -> str:
    """Every object of a git folder, reachable or not, with its content."""
    form = "--batch=%(objectname) %(objecttype)"
    return git(tree, "cat-file", "--batch-all-objects", "--unordered", form)


def test_nothing_after_base_is_in_it(story: Path, tmp_path: Path):
    tree = make(story, tmp_path, "HEAD~1").folder
    assert git(tree, "log", "--all", "--format=%s").split() == ["2", "1"]
    assert git(tree, "tag").split() == ["light", "v1"]
    assert git(tree, "describe", "--tags").strip() == "v1"
    assert git(tree, "remote") == ""
    assert git(tree, "branch", "--all", "--format=%(refname)").split() == ["refs/heads/main"]
    assert git(tree, "reflog", "--all") == ""
    assert git(tree, "status", "--porcelain", "--branch").strip() == "## main"
    assert "answer" not in everything_in(tree)
    assert "gold" not in everything_in(tree)
    assert not (tree / ".git" / "objects" / "info" / "alternates").exists()
    assert not (tree / ".git" / "hooks").exists()
    assert "example.org" not in (tree / ".git" / "config").read_text()
    assert git(tree, "fsck", "--strict", "--full") == ""


def test_it_shares_no_file_with_the_users_repository(story: Path, tmp_path: Path):
    tree = make(story, tmp_path).folder
    git(story, "repack", "-adq")
    second = make(story, tmp_path, name="w2").folder
    files = [p for t in (tree, second) for p in t.rglob("*") if p.is_file()]
    assert files
    assert all(p.stat().st_nlink == 1 for p in files)


def test_two_workspaces_from_the_cached_history_are_equal(story: Path, tmp_path: Path):
    first, tag = make(story, tmp_path, "HEAD~1"), "late"
    same = first.copy(tmp_path / "copy")
    assert everything_in(first.folder) == everything_in(same.folder)
    git(story, "tag", "-a", tag, "-m", "later tag on an old commit", "HEAD~2")
    later = make(story, tmp_path, "HEAD~1", "later")  # the cached pack lacks this tag
    assert git(later.folder, "cat-file", "-t", tag).strip() == "tag"
    assert git(later.folder, "fsck", "--full") == ""


def test_the_check_out_equals_gits_own(repo_factory: Any, tmp_path: Path):
    repo = repo_factory(
        ({".gitattributes": "*.txt text\n*.bat eol=crlf\n*.id ident\n*.bin -text\n"}, "rules"),
        ({"a.txt": "one\ntwo\n", "b.bat": "x\ny\n", "i.id": "$Id$\n", "c.bin": b"\r\n\0"}, "files"),
    )
    (repo / "run.sh").write_text("#!/bin/sh\n")
    (repo / "run.sh").chmod(0o755)
    (repo / "link").symlink_to("a.txt")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "modes")
    git(repo, "config", "core.autocrlf", "true")
    plain = tmp_path / "plain"
    git(tmp_path, "clone", "-q", "-c", "core.autocrlf=true", str(repo), str(plain))
    tree = make(repo, tmp_path).folder
    names = sorted(p.name for p in plain.iterdir() if p.name != ".git")
    assert sorted(p.name for p in tree.iterdir() if p.name != ".git") == names
    for name in names:
        assert (tree / name).read_bytes() == (plain / name).read_bytes(), name
        assert (tree / name).lstat().st_mode == (plain / name).lstat().st_mode, name
    assert (tree / "a.txt").read_bytes() == b"one\r\ntwo\r\n"
    assert git(tree, "status", "--porcelain") == ""


def change_much(tree: Path) -> None:
    (tree / "a.py").write_text("def f():\n    return 4\n")
    (tree / "pkg" / "b.py").rename(tree / "pkg" / "c.py")
    (tree / "new ü.txt").write_text("ä\n")
    (tree / "tab\there").write_text("no newline")
    (tree / ":(top)odd").write_text("x\n")
    (tree / "data.bin").write_bytes(bytes(range(256)))
    (tree / "noise.log").write_text("ignored\n")
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "deep" / ".gitignore").write_text("build/\n!keep.log\n")
    (tree / "deep" / "keep.log").write_text("kept\n")
    (tree / "deep" / "build").mkdir()
    (tree / "deep" / "build" / "x.o").write_text("ignored\n")
    (tree / "deep" / "er" / "tool.sh").write_text("#!/bin/sh\n")
    (tree / "deep" / "er" / "tool.sh").chmod(0o755)
    (tree / "inside").symlink_to("deep/er/tool.sh")


def test_the_diff_is_what_git_prints_in_the_sandbox(story: Path, tmp_path: Path):
    workspace = make(story, tmp_path, "HEAD~1")
    change_much(workspace.folder)
    diff = workspace.diff()
    git(workspace.folder, "add", "-A")
    assert diff == git(workspace.folder, "diff", "--cached", "--binary")
    assert "rename from pkg/b.py" in diff
    assert "noise.log" not in diff
    assert "x.o" not in diff


def test_a_patch_makes_the_same_tree_elsewhere(story: Path, tmp_path: Path):
    workspace = make(story, tmp_path, "HEAD~1")
    change_much(workspace.folder)
    other = workspace.copy(tmp_path / "other")
    other.apply(workspace.diff())
    assert other.snapshot() == workspace.snapshot()
    assert other.diff() == workspace.diff()
    assert (other.folder / "deep" / "er" / "tool.sh").stat().st_mode & 0o100
    assert (other.folder / "inside").readlink() == Path("deep/er/tool.sh")


def test_a_file_that_is_not_utf8_survives_as_text(repo_factory: Any, tmp_path: Path):
    old, new = "käse = 1\nx\n".encode("latin-1"), "käse = 2\nx\n".encode("latin-1")
    repo = repo_factory(({"[l]*1.py": old, "u.py": "ü = 1\n"}, "one"))
    workspace = make(repo, tmp_path)
    (workspace.folder / "[l]*1.py").write_bytes(new)
    (workspace.folder / "u.py").write_text("ü = 2\n")
    diff = workspace.diff()
    assert diff.encode("utf-8").decode("utf-8") == diff
    assert "+ü = 2" in diff
    assert diff == workspace.diff()  # the rule that did it is gone again
    other = workspace.copy(tmp_path / "other")
    other.apply(diff)
    assert (other.folder / "[l]*1.py").read_bytes() == new


def test_line_ends_go_there_and_back(repo_factory: Any, tmp_path: Path):
    repo = repo_factory(({".gitattributes": "*.bat eol=crlf\n", "a.bat": "x\ny\n"}, "one"))
    workspace = make(repo, tmp_path)
    clean = workspace.snapshot()
    assert workspace.diff() == ""
    (workspace.folder / "a.bat").write_bytes(b"x\r\nz\r\n")
    assert "-y\n+z\n" in workspace.diff()
    workspace.restore(clean)
    assert (workspace.folder / "a.bat").read_bytes() == b"x\r\ny\r\n"


def test_restore_brings_back_files_kinds_and_folders(story: Path, tmp_path: Path):
    workspace = make(story, tmp_path, "HEAD~1")
    clean = workspace.snapshot()
    change_much(workspace.folder)
    busy = workspace.snapshot()
    workspace.restore(clean)
    assert workspace.diff() == ""
    assert (workspace.folder / "noise.log").exists()  # ignored files stay
    assert not (workspace.folder / "deep" / "build").exists()  # by the rules that were restored
    assert not (workspace.folder / "deep" / "er").exists()
    (workspace.folder / "pkg" / "b.py").unlink()
    (workspace.folder / "pkg").rmdir()
    (workspace.folder / "pkg").write_text("a file where a folder was\n")
    (workspace.folder / "a.py").unlink()
    (workspace.folder / "a.py").mkdir()
    (workspace.folder / "a.py" / "x").write_text("a folder where a file was\n")
    odd = workspace.snapshot()
    workspace.restore(busy)
    assert workspace.snapshot() == busy
    workspace.restore(odd)
    assert (workspace.folder / "a.py" / "x").is_file()
    workspace.restore(clean)
    assert workspace.snapshot() == clean


def test_a_change_that_keeps_size_and_time_is_seen(story: Path, tmp_path: Path):
    workspace = make(story, tmp_path)
    file = workspace.folder / "pkg" / "b.py"
    before = file.stat()
    workspace.snapshot()
    file.write_text("b = 7\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "+b = 7" in workspace.diff()


def test_ignoring_a_file_that_was_recorded_before(story: Path, tmp_path: Path):
    """As `git add -A` from base would see it, not from the last snapshot."""
    workspace = make(story, tmp_path)
    (workspace.folder / "gen.txt").write_text("x\n")
    assert "gen.txt" in workspace.diff()
    (workspace.folder / ".gitignore").write_text("*.log\ngen.txt\n")
    assert "b/gen.txt" not in workspace.diff()


def test_it_can_be_opened_again_and_survives_the_users_gc(story: Path, tmp_path: Path):
    workspace = make(story, tmp_path, "HEAD~1")
    (workspace.folder / "a.py").write_text("x\n")
    diff, tree = workspace.diff(), workspace.snapshot()
    git(story, "gc", "-q", "--prune=now")
    again = Workspace.open(open_repository(story), tmp_path / "w")
    assert (again.base, again.diff(), again.snapshot()) == (workspace.base, diff, tree)
    with pytest.raises(SandboxError, match="holds no workspace"):
        Workspace.open(open_repository(story), tmp_path)


def test_a_patch_that_does_not_fit_changes_nothing(story: Path, tmp_path: Path):
    workspace = make(story, tmp_path)
    wrong = "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n def f():\n-    return 9\n+    return 8\n"
    for patch in (wrong, "this is no patch\n", "diff --git a/a.py b/a.py\n@@ broken"):
        with pytest.raises(PatchDoesNotApplyError):
            workspace.apply(patch)
    assert workspace.diff() == ""
    workspace.apply("  \n")
    assert workspace.diff() == ""


NEW_FILE = (
    "diff --git a/{0} b/{0}\nnew file mode {1}\n--- /dev/null\n+++ b/{0}\n@@ -0,0 +1 @@\n+{2}\n"
)


@pytest.mark.parametrize(
    ("path", "mode", "content"),
    [
        (".git/hooks/post-checkout", "100755", "#!/bin/sh"),
        ("pkg/.git/config", "100644", "[core]"),
        (".GIT/config", "100644", "[core]"),
        ("../outside", "100644", "x"),
        ("link", "120000", "/etc/passwd"),
        ("pkg/link", "120000", "../../up"),
        ("link", "120000", ".git/config"),
        ("sub", "160000", f"Subproject commit {'1' * 40}"),
    ],
)
def test_a_patch_may_not_go_everywhere(
    story: Path, tmp_path: Path, path: str, mode: str, content: str
):
    workspace = make(story, tmp_path)
    end = "" if mode == "160000" else "\\ No newline at end of file\n"
    with pytest.raises(PatchRefusedError):
        workspace.apply(NEW_FILE.format(path, mode, content) + end)
    assert workspace.diff() == ""


def test_a_shallow_clone_works(story: Path, tmp_path: Path):
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth=2", f"file://{story}", str(shallow))
    workspace = make(shallow, tmp_path)
    assert git(workspace.folder, "log", "--all", "--format=%s").split() == ["3", "2"]
    assert git(workspace.folder, "fsck", "--full") == ""
    (workspace.folder / "a.py").write_text("x\n")
    assert "+x" in workspace.diff()


def test_a_submodule_stays_a_link_and_cannot_be_edited(story: Path, tmp_path: Path):
    git(story, "submodule", "add", "-q", f"file://{story}", "vendored")
    git(story, "commit", "-qm", "submodule")
    workspace = make(story, tmp_path)
    assert workspace.submodules == ("vendored",)
    assert list((workspace.folder / "vendored").iterdir()) == []
    assert workspace.diff() == ""
    (workspace.folder / "a.py").write_text("x\n")
    assert "vendored" not in workspace.diff()
    (workspace.folder / "vendored" / "x.log").write_text("ignored\n")
    assert "vendored" not in workspace.diff()
    (workspace.folder / "vendored" / "x.py").write_text("y\n")
    with pytest.raises(PatchRefusedError, match=r"vendored/x\.py lies in a submodule"):
        workspace.diff()


def test_a_large_file_pointer_is_left_as_it_is(repo_factory: Any, tmp_path: Path):
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 9\n"
    repo = repo_factory(({".gitattributes": "*.bin filter=lfs -text\n", "m.bin": pointer}, "lfs"))
    workspace = make(repo, tmp_path)
    assert (workspace.folder / "m.bin").read_text() == pointer
    assert workspace.diff() == ""


def test_sha256_repositories(tmp_path: Path):
    repo = tmp_path / "r"
    repo.mkdir()
    git(repo, "init", "-q", "--object-format=sha256")
    (repo / "a").write_text("1\n")
    git(repo, "add", "a")
    git(repo, "commit", "-qm", "one")
    repository: Repository = open_repository(repo)
    assert len(repository.head) == 64
    workspace = Workspace.create(repository, "HEAD", tmp_path / "w")
    (workspace.folder / "a").write_text("2\n")
    other = workspace.copy(tmp_path / "o")
    other.apply(workspace.diff())
    assert (other.folder / "a").read_text() == "2\n"


def test_one_line_when_it_cannot_be_made(story: Path, tmp_path: Path):
    (tmp_path / "w").write_text("a file\n")
    with pytest.raises(SandboxError, match="no workspace can be made") as caught:
        make(story, tmp_path)
    assert "\n" not in caught.value.cause
