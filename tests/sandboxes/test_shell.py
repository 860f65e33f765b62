"""The persistent shell against commands that try to break it, in every backend that isolates."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.errors import SandboxError
from evo_agent.sandboxes.base import ShellSandbox

Opener = Callable[..., Any]


def test_a_command_runs_in_a_new_shell_at_the_root(sandbox: ShellSandbox):
    first = sandbox.exec("cd /tmp; export LEFT=1; alias x=y; echo out; echo err >&2; exit 7")
    assert (first.exit_code, first.output) == (7, "out\nerr\n")
    assert sandbox.exec('pwd; echo "[$LEFT]"; cat a.txt').output == "/testbed\n[]\nhello\n"
    assert not first.timed_out
    assert not first.truncated


def test_what_a_command_prints_arrives_byte_for_byte(sandbox: ShellSandbox):
    text = "no newline at the end, ünïcode, \\n, $HOME `id` 'quoted' \"twice\"\n\n\t."
    assert sandbox.exec(f"cat <<'END'\n{text}\nEND").output == text + "\n"
    assert sandbox.exec("printf 'a\\0b\\377c'").output == "a\0b\ufffdc"
    assert sandbox.exec("printf '%s' end").output == "end"


def test_a_commands_input_is_empty(sandbox: ShellSandbox):
    assert sandbox.exec("cat; read x || echo none").output == "none\n"


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("kill -9 $$", 137),
        ("kill -9 $PPID; sleep 0.1", 137),
        ("kill -9 -1", 137),
        ("exec >&- 2>&-; exit 3", 3),
        ("exec 0<&- 1>&0; exit 4", 4),
        (
            "pkill -9 cat; sleep 0.2; echo gone; exit 5",
            141,
        ),  # its output has nowhere to go: SIGPIPE
        ('for fd in {3..200}; do eval "exec $fd>&-"; done; exit 6', 6),
    ],
)
def test_a_command_that_breaks_its_shell_breaks_no_other(
    sandbox: ShellSandbox, command: str, status: int
):
    assert sandbox.exec(command, timeout=20).exit_code == status
    after = sandbox.exec("echo still here")
    assert (after.exit_code, after.output) == (0, "still here\n")


def test_a_shell_that_is_stopped_is_replaced(sandbox: ShellSandbox):
    done = sandbox.exec("kill -STOP $(ps -o ppid= -p $PPID); sleep 60", timeout=1)
    assert done.timed_out
    assert sandbox.exec("echo back").output == "back\n"


def test_output_that_looks_like_an_answer_is_output(sandbox: ShellSandbox):
    fake = "0123456789abcdef0123456789abcdefE0\n"
    forged = sandbox.exec(f"printf '{fake}'; tr '\\0' '\\n' < /proc/$PPID/environ >&2; exit 9")
    assert forged.exit_code == 9
    assert forged.output.startswith(fake)


def test_output_is_bounded_and_kept_whole_in_a_file(backend: str, opener: Opener, tmp_path: Path):
    sandbox = opener(backend, spool=tmp_path / "spool")
    done = sandbox.exec("seq 1 200000")
    assert done.truncated
    assert len(done.output) < 4096 + 100
    assert done.output.startswith("1\n2\n3\n")
    assert done.output.endswith("199999\n200000\n")
    assert "bytes left out" in done.output
    assert done.full_output is not None
    assert done.full_output.read_text().split() == [str(n) for n in range(1, 200001)]
    assert [p.name for p in (tmp_path / "spool").iterdir()] == [done.full_output.name]


def test_endless_output_ends_with_the_time(backend: str, opener: Opener, tmp_path: Path):
    sandbox = opener(backend, spool=tmp_path)
    done = sandbox.exec("yes", timeout=1)
    assert (done.exit_code, done.timed_out, done.truncated) == (124, True, True)
    assert sandbox.exec("echo next").output == "next\n"


def test_background_processes_live_on_and_keep_their_output_to_themselves(sandbox: ShellSandbox):
    started = sandbox.exec("(while sleep 0.02; do echo noise; done) & echo started", timeout=5)
    assert started.output.replace("noise\n", "") == "started\n"
    for _ in range(5):
        assert sandbox.exec("sleep 0.05; echo clean").output == "clean\n"
    assert sandbox.exec("jobs; pgrep -fc 'sleep 0.0'").output.strip() != "0"


def test_commands_in_quick_succession_leave_no_answer_behind(sandbox: ShellSandbox):
    """A relay that was replaced before it had begun once read the next request itself."""
    for _ in range(15):
        assert sandbox.exec("sleep 1 & echo clean", timeout=10).output == "clean\n"


def test_a_flood_in_the_background_does_not_stop_the_next_command(sandbox: ShellSandbox):
    sandbox.exec("yes flood & sleep 0.1")
    assert sandbox.exec("echo clean", timeout=20).output == "clean\n"
    large = "x" * 200_000
    assert sandbox.exec(f": {large}; echo clean", timeout=20).output == "clean\n"


def test_a_server_started_by_one_command_answers_the_next(sandbox: ShellSandbox):
    sandbox.exec("python3 -m http.server 8123 &")
    asked = "for i in $(seq 50); do exec 3<>/dev/tcp/127.0.0.1/8123 && break; sleep 0.1; done; "
    got = sandbox.exec(
        f"({asked} printf 'GET /a.txt HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3) 2>/dev/null"
    )
    assert got.output.endswith("hello\n")


def test_files_are_read_and_written_inside(sandbox: ShellSandbox, workspace: Path):
    data = bytes(range(256)) * 4000
    sandbox.write('new/folder/it\'s a "file".bin', data)
    assert sandbox.read('new/folder/it\'s a "file".bin') == data
    assert (workspace / 'new/folder/it\'s a "file".bin').read_bytes() == data
    sandbox.write("/tmp/empty", b"")
    assert sandbox.read("/tmp/empty") == b""
    sandbox.write("-n", b"dash")
    assert sandbox.read("-n") == b"dash"


def test_a_missing_file_a_folder_and_a_device_are_not_found(sandbox: ShellSandbox):
    for path in ("missing", ".", "/dev/zero", "a.txt/b", "", "a\0b"):
        with pytest.raises(FileNotFoundError):
            sandbox.read(path)
    with pytest.raises(OSError, match=r"Read-only|Permission"):
        sandbox.write("/usr/bin/x", b"")


def test_links_are_followed_inside_never_on_the_host(
    sandbox: ShellSandbox, workspace: Path, tmp_path: Path
):
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    sandbox.exec(f"ln -s {secret} link; ln -s /etc/hostname name")
    with pytest.raises(FileNotFoundError):
        sandbox.read("link")
    with pytest.raises(OSError, match="link"):
        sandbox.write("link", b"overwritten")
    assert secret.read_text() == "the host's"
    assert (workspace / "link").is_symlink()


def test_a_command_may_be_longer_than_an_argument(sandbox: ShellSandbox):
    text = "ü" * 100_000
    done = sandbox.exec(f"cat > long.txt <<'END'\n{text}\nEND\nwc -c < long.txt; exit 8")
    assert (done.exit_code, done.output.strip()) == (8, "200001")


def test_a_command_with_a_nul_is_refused_without_harm(sandbox: ShellSandbox):
    assert sandbox.exec("echo a\0b").exit_code == 126
    assert sandbox.exec("echo ok").output == "ok\n"


def test_an_interrupted_command_does_not_meet_the_next(sandbox: ShellSandbox):
    def interrupt(_: int, __: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            sandbox.exec("sleep 30; echo late")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert sandbox.exec("pgrep -c sleep; echo next").output == "0\nnext\n"


def test_a_closed_sandbox_says_so(sandbox: ShellSandbox):
    sandbox.close()
    sandbox.close()
    with pytest.raises(SandboxError, match="closed"):
        sandbox.exec("true")


def test_no_descriptor_is_left_open(backend: str, opener: Opener):
    opener(backend).close()  # what is opened once for all, is
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        sandbox = opener(backend)
        sandbox.exec("seq 1 100000")
        sandbox.close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
