"""What can be wrong around a run: one line of cause, one of remedy, nothing lost."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
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


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode and os.environ.get("EVO_REQUIRE") != "all":
        pytest.skip(f"file systems cannot be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def disk() -> Iterator[Callable[[Path, str], None]]:
    """Mount a small file system of its own at a folder, or change the size of one."""
    mounted: list[Path] = []

    def make(folder: Path, size: str) -> None:
        folder.mkdir(exist_ok=True)
        again = "remount," if folder in mounted else ""
        _mount("-t", "tmpfs", "-o", f"{again}size={size}", "tmpfs", str(folder))
        mounted.append(folder)

    yield make
    for folder in set(mounted):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _status(repo: Path) -> str:
    asked = ["git", "-C", str(repo), "status", "--porcelain"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout


@pytest.mark.bubblewrap
@pytest.mark.parametrize("size", ["4k", "64k"])
def test_a_full_disk_under_the_run(evo: Any, repo: Path, disk: Any, size: str):
    disk(repo / ".evo", size)
    arguments = ("fix", "--test", FAILING_TEST, "--sandbox", "bubblewrap", "--branch", "fixed")
    ran = evo(*arguments, cwd=repo)
    assert ran.code == 1
    cause, remedy = _errors(ran.err)
    assert "No space left on device" in cause
    assert "free some space" in remedy
    assert _status(repo) == ""
    disk(repo / ".evo", "64m")
    assert evo(*arguments, cwd=repo).code == 0


@pytest.mark.parametrize("size", ["12k", "120k"])
def test_memory_without_space(evo: Any, repo: Path, disk: Any, tmp_path: Path, size: str):
    home = tmp_path / "home"
    disk(home, size)
    ran = evo("learn", cwd=repo, env={"EVO_HOME": str(home)})
    assert ran.code == 1
    cause, remedy = _errors(ran.err)
    assert str(home / "memory") in cause
    assert "free some space below" in remedy or "is its disk full?" in remedy
    disk(home, "64m")
    assert evo("learn", cwd=repo, env={"EVO_HOME": str(home)}).code == 0
    assert evo("recall", "slot", cwd=repo, env={"EVO_HOME": str(home)}).out


def test_an_index_without_space_is_done_without(evo: Any, repo: Path, disk: Any, tmp_path: Path):
    home = tmp_path / "home"
    disk(home, "300k")  # enough for the journal
    ran = evo("learn", cwd=repo, env={"EVO_HOME": str(home)})
    assert ran.code == 0
    assert "ranking exactly" in ran.err
    assert "Traceback" not in ran.err
    assert evo("recall", "slot", cwd=repo, env={"EVO_HOME": str(home)}).out


@pytest.mark.parametrize("which", [".evo", "EVO_HOME"])
def test_a_read_only_file_system(evo: Any, repo: Path, disk: Any, tmp_path: Path, which: str):
    folder = repo / ".evo" if which == ".evo" else tmp_path / "home"
    disk(folder, "1m,ro")
    env = {"EVO_HOME": str(tmp_path / "home")}
    ran = evo("fix", "--test", FAILING_TEST, "--sandbox", "bubblewrap", cwd=repo, env=env)
    assert ran.code == 1
    cause, remedy = _errors(ran.err)
    assert str(folder) in cause
    assert "Read-only file system" in cause
    assert "writ" in remedy
    assert _status(repo) == ""


def test_text_that_steers_a_terminal_is_escaped_in_json(evo: Any, repo: Path):
    run = repo / ".evo" / "runs" / "r"
    run.mkdir(parents=True)
    title = "\\u202ereversed\\u009b31m\\udc9b"
    start = f'{{"task": {{"issue": {{"title": "{title}"}}}}}}'
    (run / "events.jsonl").write_text(
        f'{{"seq": 0, "time": "t", "kind": "run-start", "data": {start}}}\n'
    )
    ran = evo("runs", "list", "--json", cwd=repo)
    assert ran.code == 0
    assert ran.out.isascii()
    assert json.loads(ran.out)[0]["title"] == json.loads(f'"{title}"')
    assert evo("runs", "list", cwd=repo).code == 0


@pytest.mark.bubblewrap
def test_a_model_that_answers_nonsense_keeps_the_run_for_its_owner_only(
    evo: Any, repo: Path, model_server: Any
):
    model_server.raw(b"<html>\x1b[31mnot a model</html>", "text/html")
    ran = evo(
        *("fix", "--test", FAILING_TEST, "--sandbox", "bubblewrap", "--patch", "x"),
        *("--model", "openai/x", "--api-base", model_server.url),
        cwd=repo,
        env={"EVO_MODEL_RETRIES": "0", "OPENAI_API_KEY": "sk-kept-0123456789abcdef"},
    )
    assert ran.code == 1
    cause, remedy = _errors(ran.err)
    assert model_server.url in cause
    assert remedy
    assert "\x1b" not in ran.err
    (run,) = (repo / ".evo" / "runs").iterdir()
    assert run.stat().st_mode & 0o077 == 0
    kept = [path for path in (repo / ".evo").rglob("*") if path.is_file()]
    assert not any(b"sk-kept" in path.read_bytes() for path in kept)
    assert "resumable" in evo("runs", "list", cwd=repo).out
