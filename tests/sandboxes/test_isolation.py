"""What a hostile command cannot do, in every backend that isolates."""

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.confinement import Mount, SandboxLimits
from evo_agent.sandboxes import cgroup
from evo_agent.sandboxes.base import ShellSandbox

Opener = Callable[..., Any]


def test_there_is_no_network(sandbox: ShellSandbox):
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        for host in ("127.0.0.1", "172.17.0.1"):
            done = sandbox.exec(f"timeout 3 bash -c 'exec 3<>/dev/tcp/{host}/{port}'", timeout=10)
            assert done.exit_code != 0
    interfaces = sandbox.exec("cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '").output
    assert interfaces.split() == ["lo"]


def test_the_hosts_home_and_secrets_are_not_there(sandbox: ShellSandbox, tmp_path: Path):
    script = "; ".join(f"ls -A {path} 2>/dev/null" for path in (Path.home(), tmp_path))
    assert sandbox.exec(script).output == ""
    assert sandbox.exec(f"cat {__file__}").exit_code != 0
    for secret in ("/etc/shadow", "/etc/gshadow", "/root/.ssh", "/etc/sudoers"):
        assert sandbox.exec(f"head -c1 {secret} 2>/dev/null; ls {secret}/ 2>/dev/null").output == ""


def test_the_hosts_variables_do_not_come_in(
    backend: str, opener: Opener, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:very-secret@proxy")
    sandbox = opener(backend, env={"GIVEN": "yes"})
    said = sandbox.exec("env; cat /proc/[0-9]*/environ | tr '\\0' '\\n'").output
    assert "GIVEN=yes" in said
    assert "very-secret" not in said


def test_there_is_no_docker_socket(sandbox: ShellSandbox):
    found = sandbox.exec("find / -xdev -name '*.sock' -type s 2>/dev/null; ls /var/run/docker.sock")
    assert "docker.sock\n" not in found.output.replace("No such file", "")
    assert found.exit_code != 0


def test_only_the_workspace_and_tmp_can_be_written(sandbox: ShellSandbox, workspace: Path):
    folders = "/ /etc /usr /usr/local /usr/bin /opt /home /root /var /dev /proc/sys/kernel /sys"
    said = sandbox.exec(
        f"for d in {folders}; do touch $d/evo-was-here && echo $d; done 2>/dev/null"
    )
    assert said.output == ""
    assert sandbox.exec("touch /tmp/x /testbed/made && chmod +x /tmp/x && /tmp/x").exit_code == 0
    assert (workspace / "made").exists()
    assert not list(Path("/").glob("*/evo-was-here"))


def test_commands_have_no_power(sandbox: ShellSandbox):
    said = sandbox.exec("id -u; grep -E '^(CapEff|CapPrm|NoNewPrivs)' /proc/self/status").output
    uid, *status = said.split("\n")
    assert int(uid) == (os.geteuid() or 1000)
    facts = dict(line.split(":\t") for line in status if line)
    assert facts == {"CapEff": "0" * 16, "CapPrm": "0" * 16, "NoNewPrivs": "1"}
    assert sandbox.exec("mount -t tmpfs none /mnt || unshare -Ur mount -t tmpfs n /mnt").exit_code


def test_a_mount_is_read_only_unless_it_says_otherwise(
    backend: str, opener: Opener, tmp_path: Path
):
    for name in ("kept", "open"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
    mounts = (
        Mount(tmp_path / "kept", "/opt/kept"),
        Mount(tmp_path / "open", "/opt/open", writable=True),
    )
    sandbox = opener(backend, mounts=mounts)
    assert sandbox.exec("cat /opt/kept/f /opt/open/f").output == "keptopen"
    assert sandbox.exec("echo x > /opt/kept/f").exit_code != 0
    assert sandbox.exec("echo x > /opt/open/f").exit_code == 0
    assert (tmp_path / "kept" / "f").read_text() == "kept"


def processes(sandbox: ShellSandbox) -> int:
    # By the shell itself: where a bomb is at work, another process may not be had.
    return int(sandbox.exec("all=(/proc/[0-9]*); echo ${#all[@]}", timeout=20).output)


def test_a_fork_bomb_is_contained(sandbox: ShellSandbox):
    assert "processes" not in sandbox.not_limited
    sandbox.exec("bomb() { bomb | bomb & }; bomb 2>/dev/null")
    # A bomb that still grows may take the next command's shell: a new one starts without it.
    answers = [sandbox.exec("echo alive", timeout=30).output for _ in range(2)]
    assert "alive\n" in answers, answers
    assert processes(sandbox) <= 64  # SMALL.processes


def test_a_fork_bomb_ends_with_the_time_of_its_command(sandbox: ShellSandbox):
    done = sandbox.exec("bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 600", timeout=2)
    assert done.exit_code in (124, 137)  # the limit may have cost the command its own shell
    if not done.timed_out:
        sandbox.exec("sleep 600", timeout=1)
    counts = [processes(sandbox) for _ in range(50)]  # the dead take a moment to be reaped
    assert counts[-1] < 10, counts


def test_a_memory_hog_is_contained(sandbox: ShellSandbox):
    if "memory" in sandbox.not_limited:
        pytest.skip("this backend says that it does not limit memory here")
    hog = sandbox.exec("python3 -c 'x = bytearray(600 * 2**20); print(len(x))'", timeout=60)
    assert hog.exit_code != 0
    assert "629145600" not in hog.output
    assert sandbox.exec("echo alive").output == "alive\n"


def test_tmp_is_bounded(sandbox: ShellSandbox):
    full = sandbox.exec("head -c 64M /dev/zero > /tmp/big", timeout=30)
    assert full.exit_code != 0
    assert "No space left" in full.output


def test_a_timed_out_commands_children_are_gone(sandbox: ShellSandbox):
    done = sandbox.exec("setsid sleep 987 & nohup sleep 987 & (sleep 987 &); sleep 987", timeout=1)
    assert (done.exit_code, done.timed_out) == (124, True)
    assert sandbox.exec("pgrep -c sleep").output == "0\n"


def test_nothing_survives_close(sandbox: ShellSandbox):
    mark = f"{time.time_ns()}.75"
    sandbox.exec(f"setsid sleep {mark} >/dev/null 2>&1 &")
    sandbox.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _running(mark):
        time.sleep(0.05)
    assert not _running(mark)


def test_a_sandbox_outlives_the_thread_that_opened_it(backend: str, opener: Opener):
    opened: list[ShellSandbox] = []
    thread = threading.Thread(target=lambda: opened.append(opener(backend)))
    thread.start()
    thread.join()
    assert opened[0].exec("echo here").output == "here\n"


def test_control_groups_go_with_their_sandbox_or_at_the_next(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "getpid", lambda: 2**22 + 1)  # beyond the kernel's largest
    left = cgroup.create(SandboxLimits())
    monkeypatch.undo()
    if not left.folders:
        pytest.skip("control groups cannot be made here")
    made = cgroup.create(SandboxLimits())
    assert not any(folder.exists() for folder in left.folders)
    made.remove()
    assert not any(folder.exists() for folder in made.folders)


def _running(mark: str) -> bool:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False
