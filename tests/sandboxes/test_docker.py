"""Docker's own troubles: an engine that is not there, that goes, and containers left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.confinement import SandboxSpec
from evo_agent.core.errors import SandboxError
from evo_agent.sandboxes import engine
from evo_agent.sandboxes.docker import LABEL, OWNER, remove_leftovers
from evo_agent.sandboxes.image_base import default_tag
from evo_agent.sandboxes.select import open_sandbox

pytestmark = pytest.mark.docker
Opener = Callable[..., Any]


def test_no_engine_is_one_line_with_its_remedy(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(SandboxError, match="no docker engine answers") as raised:
        open_sandbox(SandboxSpec(workspace), None, "docker")
    assert "\n" not in raised.value.cause
    assert "systemctl start docker" in raised.value.remedy


def test_an_engine_that_stops_mid_run_is_an_infrastructure_error(engine_cut: Any, opener: Opener):
    sandbox = opener("docker")
    assert sandbox.exec("echo before").output == "before\n"
    timer = threading.Timer(0.5, engine_cut.stop)
    timer.start()
    with pytest.raises(SandboxError, match="docker engine") as raised:
        sandbox.exec("sleep 30; echo never")
    timer.join()
    assert "start it" in raised.value.remedy
    with pytest.raises(SandboxError):
        sandbox.exec("echo after")


def test_a_missing_image_is_named(opener: Opener):
    with pytest.raises(SandboxError, match=r"evo-nobody-has/this:1 is not there") as raised:
        opener("docker", image="evo-nobody-has/this:1")
    assert "docker pull" in raised.value.remedy


def test_an_image_without_bash_is_named(opener: Opener):
    client = engine.find("docker").client
    client.api.import_image_from_data(_empty_tar(), repository="evo-test-empty", tag="1")
    try:
        with pytest.raises(SandboxError, match="bash"):
            opener("docker", image="evo-test-empty:1")
    finally:
        client.images.remove("evo-test-empty:1", force=True)


def test_when_evo_is_killed_its_container_goes(workspace: Path):
    script = f"""
        import time
        from pathlib import Path
        from evo_agent.core.confinement import SandboxSpec
        from evo_agent.sandboxes.select import open_sandbox
        labels = {{"evo.test": "killed-{os.getpid()}"}}
        box = open_sandbox(SandboxSpec(Path({str(workspace)!r}), labels=labels), None, "docker")
        box.exec("(setsid sleep 600 &) ; echo started")
        print("ready", flush=True)
        box.exec("sleep 600", timeout=600)
    """
    argv = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert _containers(f"evo.test=killed-{os.getpid()}")
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _containers(f"evo.test=killed-{os.getpid()}"):
        time.sleep(0.1)
    assert not _containers(f"evo.test=killed-{os.getpid()}")


def test_leftovers_are_removed_and_living_sandboxes_are_not(opener: Opener):
    mine = {"evo.test": f"left-{os.getpid()}"}
    living = opener("docker", labels=mine)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    labels = {**mine, LABEL: "1", OWNER: f"{boot}:1:99999999999"}
    api = engine.find("docker").client.api
    api.create_container(default_tag(), ["sleep", "1"], labels=labels)
    assert len(_containers(f"evo.test=left-{os.getpid()}")) == 2
    assert remove_leftovers(labels=mine) == 1
    assert living.exec("echo living").output == "living\n"


def _containers(label: str) -> list[Any]:
    api = engine.find("docker").client.api
    return list(api.containers(all=True, filters={"label": label}))


def _empty_tar() -> bytes:
    return b"\0" * 10240
