"""A repository that carries a prepared `.evo`: what evo reads there, and what it never does."""

import json
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.config import load_config
from evo_agent.core.errors import StoreError
from evo_agent.core.events import EVENTS_FILE
from evo_agent.tasks.fix import FixRequest, fix
from evo_agent.tasks.runs import list_runs, replay, resume

FILES = {
    "maths.py": "def double(x):\n    return x\n",
    "test_maths.py": "from maths import double\n\n\ndef test_double():\n    assert double(2) == 4\n",
}


@pytest.fixture
def repo(repo_factory: Callable[..., Path]) -> Path:
    return repo_factory((FILES, "Double"))


@pytest.fixture
def stopped(repo: Path) -> Path:
    """The log of a run that was stopped at its start."""

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    config = load_config(None, flags={"sandbox.backend": "bubblewrap"}, environ={})
    request = FixRequest(repo=repo, issue="double", tests=("test_maths.py::test_double",))
    with pytest.raises(KeyboardInterrupt):
        fix(request, config, observe=stop)
    (run,) = (repo / ".evo" / "runs").iterdir()
    return run / EVENTS_FILE


def _changed(log: Path, change: Callable[[Any], None]) -> None:
    first, *rest = log.read_text().splitlines()
    event = json.loads(first)
    change(event["data"])
    log.write_text("\n".join([json.dumps(event), *rest]) + "\n")


def _run_on_the_host(marker: Path) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        data["config"]["sandbox"] |= {"backend": "local", "test": f"touch {marker}; false"}
        data["request"]["delivery"] = {"mode": "patch", "target": f"{marker}.patch"}

    return change


@pytest.mark.bubblewrap
@pytest.mark.parametrize("act", [resume, replay])
def test_a_run_that_came_with_the_repository_is_shown_but_never_acted_on(
    stopped: Path, tmp_path: Path, act: Callable[..., object]
) -> None:
    marker = tmp_path / "marker"
    _changed(stopped, _run_on_the_host(marker))
    repo = stopped.parents[3]
    before = stopped.read_bytes()
    assert [run.title for run in list_runs(repo)] == ["double"]
    with pytest.raises(StoreError, match="was not made here"):
        act(repo, "last")
    assert stopped.read_bytes() == before
    assert not list(tmp_path.glob("marker*"))


@pytest.mark.bubblewrap
def test_a_seal_of_another_person_is_no_seal(
    stopped: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EVO_HOME", str(tmp_path / "other"))
    with pytest.raises(StoreError, match="was not made here"):
        resume(stopped.parents[3], "last")
    key = tmp_path / "other" / "runs.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", [".evo", ".evo/.gitignore", ".evo/runs"])
def test_a_state_folder_that_leads_elsewhere_is_not_written_through(
    evo_fix: Callable[[Path], None], repo: Path, tmp_path: Path, name: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    target = elsewhere / "new" if name.endswith("ignore") else elsewhere
    (repo / name).parent.mkdir(exist_ok=True)
    (repo / name).symlink_to(target)
    subprocess.run(["git", "add", "-f", ".evo"], cwd=repo, check=True)
    subprocess.run(["git", "commit", "-qm", "Lead away"], cwd=repo, check=True)
    with pytest.raises(StoreError, match="is a symbolic link"):
        evo_fix(repo)
    assert list(elsewhere.iterdir()) == []


@pytest.fixture
def evo_fix() -> Callable[[Path], None]:
    config = load_config(None, flags={"sandbox.backend": "bubblewrap"}, environ={})
    return lambda repo: fix(FixRequest(repo=repo, issue="x"), config) and None


def test_folders_that_are_no_runs_are_left_out(repo: Path, tmp_path: Path) -> None:
    runs = repo / ".evo" / "runs"
    start = '{"seq": 0, "time": "", "kind": "run-start", "data": %s}\n'
    texts = {"no-task": "{}", "no-title": '{"task": 3}', "deep": "[" * 100_000}
    for name, data in texts.items():
        (runs / name).mkdir(parents=True)
        (runs / name / EVENTS_FILE).write_text(start % data)
    (runs / "pipe").mkdir()
    os.mkfifo(runs / "pipe" / EVENTS_FILE)
    good = start % '{"task": {"issue": {"title": "a run"}}}'
    for name in ("outside", "leaks"):
        (tmp_path / name).mkdir()
        (tmp_path / name / EVENTS_FILE).write_text(good)
    (runs / "linked").symlink_to(tmp_path / "outside")
    (tmp_path / "leaks" / "patch.diff").symlink_to("/etc/passwd")
    (tmp_path / "leaks").rename(runs / "leaks")
    assert list_runs(repo) == ()
