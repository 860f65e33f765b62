"""Recorded sandboxes: what was done is answered from the log, and the tree is put back."""

from collections.abc import Callable
from pathlib import Path

import pytest

from evo_agent.core.confinement import SandboxSpec
from evo_agent.core.errors import PatchRefusedError
from evo_agent.core.events import RunLog, read_events
from evo_agent.core.git import open_repository
from evo_agent.core.recorded import RecordedSandbox
from evo_agent.sandboxes.select import open_sandbox
from evo_agent.sandboxes.workspace import Workspace

pytestmark = pytest.mark.bubblewrap

Work = Callable[[RecordedSandbox], object]
RepoFactory = Callable[..., Path]


@pytest.fixture
def workspace(repo_factory: RepoFactory, tmp_path: Path) -> Workspace:
    repo = repo_factory(({"a.txt": "one\n"}, "first"))
    return Workspace.create(open_repository(repo), "HEAD", tmp_path / "work")


def session(workspace: Workspace, log: RunLog, work: Work) -> object:
    """One process's part of a run: a new sandbox over the same workspace."""
    spec = SandboxSpec(workspace.folder)
    with open_sandbox(spec, workspace, "bubblewrap") as real:
        return work(RecordedSandbox(real, log, base=workspace.snapshot()))


def test_answered_commands_are_not_run_again(workspace: Workspace, tmp_path: Path) -> None:
    def count(sandbox: RecordedSandbox) -> str:
        sandbox.exec("echo x >> count.txt")
        sandbox.write("b.txt", b"\x00\xff")
        assert sandbox.read("b.txt") == b"\x00\xff"
        with pytest.raises(FileNotFoundError):
            sandbox.read("missing.txt")
        return sandbox.exec("cat count.txt").output

    with RunLog.create(tmp_path / "run") as log:
        assert session(workspace, log, count) == "x\n"
    with RunLog.reopen(tmp_path / "run") as log:
        assert session(workspace, log, count) == "x\n"
    assert (workspace.folder / "count.txt").read_text() == "x\n"


def test_a_resumed_run_goes_on_from_the_tree_of_the_last_checkpoint(
    workspace: Workspace, tmp_path: Path
) -> None:
    """What the command in flight had half done when the process died is undone first."""

    def first(sandbox: RecordedSandbox) -> None:
        sandbox.exec("echo done > a.txt")

    def both(sandbox: RecordedSandbox) -> str:
        sandbox.exec("echo done > a.txt")
        return sandbox.exec("cat a.txt; ls").output

    with RunLog.create(tmp_path / "run") as log:
        session(workspace, log, first)
    (workspace.folder / "a.txt").write_text("half\n")
    (workspace.folder / "stray.txt").write_text("half\n")
    with RunLog.reopen(tmp_path / "run") as log:
        assert session(workspace, log, both) == "done\na.txt\n"


def test_a_restored_snapshot_is_what_a_resumed_run_starts_from(
    workspace: Workspace, tmp_path: Path
) -> None:
    base = workspace.snapshot()

    def back(sandbox: RecordedSandbox) -> None:
        sandbox.exec("echo two > a.txt; echo new > new.txt")
        sandbox.restore(base)

    def on(sandbox: RecordedSandbox) -> str:
        back(sandbox)
        return sandbox.exec("cat a.txt; ls").output

    with RunLog.create(tmp_path / "run") as log:
        session(workspace, log, back)
    with RunLog.reopen(tmp_path / "run") as log:
        assert session(workspace, log, on) == "one\na.txt\n"


def test_files_written_outside_the_tree_are_there_again(
    workspace: Workspace, tmp_path: Path
) -> None:
    """A solver keeps its instruments in /tmp, which dies with the sandbox."""

    def write(sandbox: RecordedSandbox) -> None:
        sandbox.write("/tmp/probe/jobs.json", b"old")
        sandbox.write("/tmp/probe/jobs.json", b"new")

    def use(sandbox: RecordedSandbox) -> str:
        write(sandbox)
        return sandbox.exec("cat /tmp/probe/jobs.json").output

    with RunLog.create(tmp_path / "run") as log:
        session(workspace, log, write)
    with RunLog.reopen(tmp_path / "run") as log:
        assert session(workspace, log, use) == "new"


def test_a_refusal_is_answered_again_and_costs_no_later_step(
    workspace: Workspace, tmp_path: Path
) -> None:
    def refused_then_mended(sandbox: RecordedSandbox) -> str:
        sandbox.exec("ln -s /etc/passwd link; echo x >> count.txt")
        with pytest.raises(PatchRefusedError, match="link"):
            sandbox.diff()
        with pytest.raises(OSError, match="cannot be written"):
            sandbox.write("/etc/passwd", b"")
        sandbox.exec("rm link; echo x >> count.txt")
        return sandbox.diff()

    with RunLog.create(tmp_path / "run") as log:
        first = session(workspace, log, refused_then_mended)
    with RunLog.reopen(tmp_path / "run") as log:
        assert session(workspace, log, refused_then_mended) == first
    assert str(first).count("\n+x") == 2


def test_large_contents_are_blobs_not_log_lines(workspace: Workspace, tmp_path: Path) -> None:
    data = b"y" * 100_000

    def big(sandbox: RecordedSandbox) -> bytes:
        sandbox.write("big.txt", data)
        return sandbox.read("big.txt")

    with RunLog.create(tmp_path / "run") as log:
        session(workspace, log, big)
    assert (tmp_path / "run" / "events.jsonl").stat().st_size < 10_000
    with RunLog.reopen(tmp_path / "run") as log:
        assert session(workspace, log, big) == data


def test_every_command_has_an_intent_a_result_and_a_checkpoint(
    workspace: Workspace, tmp_path: Path
) -> None:
    with RunLog.create(tmp_path / "run") as log:
        session(workspace, log, lambda sandbox: sandbox.exec("echo hi > a.txt; exit 3"))
    events = list(read_events(tmp_path / "run"))
    assert [e.kind for e in events] == ["command-call", "command-result"]
    assert events[0].data["command"] == "echo hi > a.txt; exit 3"
    assert events[1].data["value"]["exit_code"] == 3
    assert len(events[1].data["value"]["tree"]) == 40
