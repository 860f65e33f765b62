"""The sandbox's user may do anything to the tree; the host stays unharmed and says one line."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.errors import EvoError, PatchRefusedError, SandboxError
from evo_agent.core.git import open_repository
from evo_agent.sandboxes import record, scan
from evo_agent.sandboxes.workspace import Workspace


@pytest.fixture
def workspace(repo_factory: Any, tmp_path: Path) -> Iterator[Workspace]:
    repo = repo_factory(
        ({"a.py": "a = 1\n", "pkg/b.py": "b = 1\n", "pkg/sub/c.py": "c = 1\n"}, "one")
    )
    made = Workspace.create(open_repository(repo), "HEAD", tmp_path / "w")
    (made.folder / "a.py").write_text("a = 2\n")
    yield made
    subprocess.run(["chmod", "-R", "u+rwx", str(made.home)], check=False)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "b.py").write_text("host secret\n")
    (folder / "c.py").write_text("host secret\n")
    return folder


def one_line(action: Callable[[], object], kind: type[EvoError], *, match: str) -> None:
    with pytest.raises(kind, match=match) as caught:
        action()
    assert "\n" not in caught.value.cause


def test_a_folder_made_a_link_is_neither_read_nor_written_through(
    workspace: Workspace, outside: Path
):
    clean = workspace.snapshot()
    shutil.rmtree(workspace.folder / "pkg")
    (workspace.folder / "pkg").symlink_to(outside)
    one_line(workspace.diff, PatchRefusedError, match="pkg is a link that leaves the tree")
    linked = workspace.snapshot()
    assert "host secret" not in workspace.host.run("grep", "-c", "", linked).decode()
    workspace.restore(clean)
    assert (outside / "b.py").read_text() == "host secret\n"
    assert (workspace.folder / "pkg" / "b.py").read_text() == "b = 1\n"
    assert not (workspace.folder / "pkg").is_symlink()


def test_a_patch_is_not_written_through_a_link(workspace: Workspace, outside: Path):
    other = workspace.copy(workspace.home.parent / "other")
    (other.folder / "pkg" / "b.py").write_text("b = 2\n")
    patch = other.diff()
    (workspace.folder / "pkg" / "b.py").unlink()
    (workspace.folder / "pkg" / "b.py").symlink_to(outside / "b.py")
    with pytest.raises(EvoError):
        workspace.apply(patch)
    assert (outside / "b.py").read_text() == "host secret\n"


def test_links_that_are_swapped_while_the_host_reads(workspace: Workspace, outside: Path):
    """The race that a check before use would lose: the folder flips under the host's eyes."""
    tree, stop = workspace.folder, threading.Event()
    (tree / "real").mkdir()
    (tree / "real" / "b.py").write_text("tame\n")
    (tree / "flip").symlink_to(outside)

    def flip() -> None:
        while not stop.is_set():
            os.rename(tree / "flip", tree / "hold")  # noqa: PTH104 as fast as it goes
            os.rename(tree / "real", tree / "flip")  # noqa: PTH104
            os.rename(tree / "flip", tree / "real")  # noqa: PTH104
            os.rename(tree / "hold", tree / "flip")  # noqa: PTH104

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        seen = [workspace.snapshot() for _ in range(15)]
    finally:
        stop.set()
        thread.join()
    for snapshot in set(seen):
        listed = workspace.host.run("ls-tree", "-r", snapshot).decode()
        blobs = [line.split()[2] for line in listed.splitlines()]
        contents = [workspace.host.run("cat-file", "blob", blob) for blob in blobs]
        assert not any(b"host secret" in content for content in contents)


def test_links_inside_are_fine_and_links_out_are_not(workspace: Workspace):
    link = workspace.folder / "pkg" / "link"
    link.symlink_to("../a.py")
    assert "../a.py" in workspace.diff()
    for target in ("/etc/passwd", "../../up", "../.git/config"):
        link.unlink()
        link.symlink_to(target)
        one_line(workspace.diff, PatchRefusedError, match="leaves the tree")


def test_pipes_and_sockets_are_left_out(workspace: Workspace):
    os.mkfifo(workspace.folder / "pipe")
    os.mkfifo(workspace.folder / ".gitignore")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        try:
            os.chdir(workspace.folder)  # a socket's path is short
            server.bind("socket")
        finally:
            os.chdir(here)
        diff = workspace.diff()
    assert "+a = 2" in diff
    assert "pipe" not in diff
    assert "socket" not in diff


def test_a_tracked_file_made_a_pipe_is_a_deletion(workspace: Workspace):
    (workspace.folder / "pkg" / "b.py").unlink()
    os.mkfifo(workspace.folder / "pkg" / "b.py")
    assert "deleted file" in workspace.diff()


@pytest.mark.parametrize("path", ["huge", "a.py"])
def test_a_huge_file_is_refused_and_the_rest_still_recorded(workspace: Workspace, path: str):
    with (workspace.folder / path).open("wb") as file:
        file.truncate(2**40)
    (workspace.folder / "pkg" / "b.py").write_text("b = 2\n")
    one_line(workspace.diff, PatchRefusedError, match=f"{path} cannot be read: larger than 50 MB")
    listed = workspace.host.run("ls-tree", "-r", "--name-only", workspace.snapshot()).decode()
    assert "huge" not in listed
    assert "a.py" in listed


def test_many_files_are_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    for number in range(60):
        (workspace.folder / f"f{number}").write_text("")
    monkeypatch.setattr(scan, "MAX_NEW_FILES", 50)
    one_line(workspace.diff, PatchRefusedError, match="more than 50 new files")
    monkeypatch.setattr(scan, "MAX_ENTRIES", 40)
    one_line(workspace.snapshot, PatchRefusedError, match="more than 40 files")


def test_much_change_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    (workspace.folder / "big").write_bytes(b"x" * 4000)
    (workspace.folder / "big2").write_bytes(b"x" * 4000)
    monkeypatch.setattr(record, "MAX_CHANGED_BYTES", 5000)
    monkeypatch.setattr(record, "MAX_FILE_BYTES", 4500)
    one_line(workspace.diff, PatchRefusedError, match="of changes")
    one_line(workspace.snapshot, PatchRefusedError, match="of changes")


def test_deep_folders_are_refused(workspace: Workspace):
    deep = workspace.folder
    for _ in range(scan.MAX_DEPTH + 5):
        deep /= "d"
    deep.mkdir(parents=True)
    one_line(workspace.diff, PatchRefusedError, match="nested deeper than 100")


@pytest.mark.parametrize("ruin", ["gone", "file", "link"])
def test_its_own_git_folder_does_not_matter(workspace: Workspace, outside: Path, ruin: str):
    before = workspace.diff()
    shutil.rmtree(workspace.folder / ".git")
    if ruin == "file":
        (workspace.folder / ".git").write_text(f"gitdir: {outside}\n")
    elif ruin == "link":
        (workspace.folder / ".git").symlink_to(outside)
    assert workspace.diff() == before
    workspace.restore(workspace.snapshot())


@pytest.mark.parametrize("name", ["pkg/.git", "pkg/.GIT", "new/git~1", "new/.git ", "new/x\\.git"])
def test_names_that_some_file_system_takes_for_git(workspace: Workspace, name: str):
    target = workspace.folder / name
    target.parent.mkdir(exist_ok=True)
    target.write_text("x")
    one_line(workspace.diff, PatchRefusedError, match="a repository inside the repository")
    workspace.restore(workspace.snapshot())
    assert not target.exists()


def test_rules_that_are_links_or_huge_are_not_followed(workspace: Workspace, outside: Path):
    (outside / "rules").write_text("new.py\n")
    (workspace.folder / ".gitignore").symlink_to(outside / "rules")
    (workspace.folder / "new.py").write_text("n\n")
    one_line(workspace.diff, PatchRefusedError, match="leaves the tree")
    tree = workspace.host.run("ls-tree", "-r", "--name-only", workspace.snapshot()).decode()
    assert "new.py" in tree


def test_a_tree_that_is_gone(workspace: Workspace, outside: Path):
    shutil.rmtree(workspace.folder)
    one_line(workspace.diff, SandboxError, match="is gone")
    workspace.folder.symlink_to(outside)
    one_line(workspace.snapshot, SandboxError, match="is gone")
    one_line(lambda: workspace.restore(workspace.base), SandboxError, match="is gone")
    assert (outside / "b.py").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_tree_that_belongs_to_the_sandboxes_user(workspace: Workspace):
    """The docker backend runs as uid 1000; git on the host would call that dubious."""
    subprocess.run(["chown", "-R", "1000:1000", str(workspace.folder)], check=True)
    clean = workspace.snapshot()
    (workspace.folder / "pkg" / "b.py").unlink()
    (workspace.folder / "pkg" / "sub" / "c.py").unlink()
    (workspace.folder / "pkg" / "sub").rmdir()
    workspace.restore(clean)
    for path in ("pkg/b.py", "pkg/sub", "pkg/sub/c.py"):
        info = (workspace.folder / path).lstat()
        assert (info.st_uid, info.st_gid) == (1000, 1000)


@pytest.fixture
def ordinary_user(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Give everything below tmp_path to uid 1000 and act as that user: root reads everything."""
    if os.geteuid() != 0:
        yield lambda: None
        return
    above = {folder: folder.stat().st_mode & 0o7777 for folder in [*tmp_path.parents][:-2]}

    def drop() -> None:
        subprocess.run(["chown", "-R", "1000:1000", str(tmp_path)], check=True)
        for folder, mode in above.items():
            folder.chmod(mode | 0o555)
        os.seteuid(1000)

    yield drop
    os.seteuid(0)
    for folder, mode in above.items():
        folder.chmod(mode)


def test_what_cannot_be_read_is_named_and_kept(
    workspace: Workspace, ordinary_user: Callable[[], None]
):
    first = workspace.snapshot()
    ordinary_user()
    (workspace.folder / "a.py").write_text("not seen")
    (workspace.folder / "a.py").chmod(0)
    (workspace.folder / "pkg").chmod(0)
    try:
        assert workspace.snapshot() == first
        one_line(workspace.diff, PatchRefusedError, match="pkg cannot be read: Permission denied")
    finally:
        (workspace.folder / "pkg").chmod(0o755)
