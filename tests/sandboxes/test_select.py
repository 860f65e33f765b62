"""Which sandbox is opened, and the one that isolates nothing."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.confinement import SandboxSpec
from evo_agent.core.errors import ConfigError, SandboxError
from evo_agent.sandboxes.output import Output
from evo_agent.sandboxes.select import available_backends, open_sandbox

Opener = Callable[..., Any]


def test_an_unknown_backend_names_the_known_ones(workspace: Path):
    with pytest.raises(ConfigError, match="chroot") as raised:
        open_sandbox(SandboxSpec(workspace), None, "chroot")
    assert "bubblewrap" in raised.value.remedy


def test_auto_never_falls_back_to_no_isolation(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{tmp_path}/none")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SandboxError, match="bwrap is not installed") as raised:
        open_sandbox(SandboxSpec(workspace), None)
    assert "--sandbox local" in raised.value.remedy
    statuses = {status.name: status for status in available_backends()}
    assert not statuses["bubblewrap"].usable
    assert "apt-get install bubblewrap" in statuses["bubblewrap"].remedy


@pytest.mark.bubblewrap
def test_auto_takes_bubblewrap_when_no_engine_answers(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{tmp_path}/none")
    assert opener("auto").name == "bubblewrap"


@pytest.mark.docker
def test_auto_takes_an_engine_first(opener: Opener):
    assert opener("auto").name in ("docker", "podman")


def test_local_warns_and_limits_nothing(opener: Opener, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GITHUB_TOKEN", "ghp-secret")
    sandbox = opener("local", env={"GIVEN": "1"})
    assert "no isolation" in sandbox.warnings[0]
    assert {"memory", "network", "files"} <= set(sandbox.not_limited)
    said = sandbox.exec("pwd; env; cat a.txt; exit 3")
    assert said.exit_code == 3
    assert said.output.startswith(sandbox.root)
    assert said.output.endswith("hello\n")
    assert "GIVEN=1" in said.output
    assert "ghp-secret" not in said.output


def test_local_kills_a_commands_children_and_never_more(opener: Opener):
    sandbox = opener("local")
    mark = f"{os.getpid()}.{time.time_ns() % 1000}"
    done = sandbox.exec(f"setsid sleep {mark} & sleep {mark}", timeout=0.5)
    assert (done.exit_code, done.timed_out) == (124, True)
    assert _running(mark) == []
    started = sandbox.exec(f"sleep {mark} & echo started", timeout=5)
    assert started.output == "started\n"
    assert len(_running(mark)) == 1
    sandbox.close()
    assert _running(mark) == []


def test_local_reads_and_writes_and_bounds_output(opener: Opener, tmp_path: Path):
    sandbox = opener("local", spool=tmp_path / "spool")
    sandbox.write("d/f", b"\0\1")
    assert sandbox.read("d/f") == b"\0\1"
    with pytest.raises(FileNotFoundError):
        sandbox.read("missing")
    done = sandbox.exec("seq 1 50000; kill -9 $$")
    assert done.exit_code == 137
    assert done.truncated
    assert done.full_output is not None
    assert done.full_output.read_text().endswith("50000\n")


def test_output_keeps_head_and_tail_however_it_is_cut(tmp_path: Path):
    data = b"".join(b"%06d\n" % n for n in range(5000))
    for size in (1, 7, 999, len(data)):
        output = Output(700, tmp_path)
        for start in range(0, len(data), size):
            output.feed(data[start : start + size])
        whole = output.finish()
        assert whole is not None
        assert whole.read_bytes() == data
        head, gap, tail = output.text().partition(f"\n[... {len(data) - 700} bytes left out ...]\n")
        assert gap
        assert (head.encode(), tail.encode()) == (data[:350], data[-350:])


def test_output_that_fits_is_untouched(tmp_path: Path):
    output = Output(10, tmp_path)
    output.feed(b"01234")
    output.feed(b"56789")
    assert (output.text(), output.truncated, output.finish()) == ("0123456789", False, None)
    assert list(tmp_path.iterdir()) == []


def _running(mark: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if words[0] == b"sleep" and mark.encode() in words and state != "Z":
            found.append(folder.name)
    return found
