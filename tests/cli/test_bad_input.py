"""What can be wrong around a run: one line of cause, one of remedy, nothing lost."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evo_agent.tasks.demo import make_repository
from evo_agent.tasks.demo_history import FAILING_TEST


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "demo")


def _errors(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith(("error: ", "remedy: "))]


def test_a_state_folder_that_cannot_be_written(evo: Any, repo: Path):
    (repo / ".evo").write_text("mine")
    ran = evo("fix", "--test", FAILING_TEST, "--patch", "x", cwd=repo)
    assert ran.code == 1
    cause, remedy = _errors(ran.err)
    assert ".evo cannot be written" in cause
    assert remedy.startswith("remedy: make ")
    assert (repo / ".evo").read_text() == "mine"


@pytest.mark.parametrize("command", [["learn"], ["recall", "x"], ["skills", "list"]])
def test_a_memory_that_cannot_be_written(evo: Any, repo: Path, command: list[str]):
    ran = evo(*command, cwd=repo, env={"EVO_MEMORY_PATH": str(repo / "slots.py" / "memory")})
    assert ran.code == 1
    assert ran.out == ""
    cause, remedy = ran.err.splitlines()
    assert "slots.py/memory" in cause
    assert "EVO_MEMORY_PATH" in remedy


def test_a_folder_that_does_not_exist(evo: Any):
    ran = evo("learn", "--repo", "/no/such/folder")
    assert ran.code == 1
    assert ran.err.splitlines()[0] == "error: /no/such/folder does not exist"


def test_a_full_disk_under_the_output(repo: Path):
    """/dev/full answers every write with ENOSPC: no traceback, and no pretended success."""
    program = Path(sys.executable).parent / "evo"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [program, "doctor"],
            cwd=repo,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("where", ["flag", "file"])
def test_a_repository_may_not_choose_no_isolation_but_its_user_may_choose_badly(
    evo: Any, repo: Path, where: str
):
    if where == "file":
        (repo / "evo.toml").write_text('[sandbox]\nbackend = "local"\n')
        ran = evo("fix", "x", cwd=repo)
        assert "a repository may not decide" in ran.err
    else:
        ran = evo("fix", "x", "--sandbox", "none", "--patch", "x", cwd=repo)
        assert "none" in ran.err.splitlines()[0]
    assert ran.code == 2


@pytest.mark.bubblewrap
def test_a_model_endpoint_that_is_down_keeps_the_run(evo: Any, repo: Path):
    ran = evo(
        *("fix", "--test", FAILING_TEST, "--sandbox", "bubblewrap"),
        *("--model", "openai/x", "--api-base", "http://127.0.0.1:9/v1"),
        cwd=repo,
        env={"EVO_MODEL_RETRIES": "0", "OPENAI_API_KEY": "none"},
    )
    assert ran.code == 1
    cause, remedy = _errors(ran.err)
    assert "http://127.0.0.1:9/v1" in cause
    assert "evo runs resume" in remedy
    listed = evo("runs", "list", cwd=repo)
    assert "resumable" in listed.out
