"""`evo fix` in containers: the same path, and an engine that stops under it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.config import load_config
from evo_agent.core.errors import SandboxError
from evo_agent.core.events import Event, read_events
from evo_agent.core.types import Grade
from evo_agent.tasks.fix import FixRequest, fix
from evo_agent.tasks.knowledge import list_skills
from evo_agent.tasks.runs import list_runs, resume

pytestmark = pytest.mark.docker

FILES = {
    "age.py": "def admits(years):\n    return years > 18\n",
    "test_age.py": "from age import admits\n\n\ndef test_eighteen():\n    assert admits(18)\n",
}
TEST = "test_age.py::test_eighteen"


def test_an_engine_that_stops_mid_run_costs_nothing_but_time(
    repo_factory: Callable[..., Path], engine_cut: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = repo_factory((FILES, "Admit adults"), name="club")
    config = load_config(None, flags={"sandbox.backend": "docker"})

    def cut(event: Event) -> None:
        if event.kind == "phase" and event.data["phase"] == "act":
            engine_cut.stop()

    with pytest.raises(SandboxError) as caught:
        fix(FixRequest(repo, tests=(TEST,)), config, cut)
    assert "\n" not in caught.value.cause
    assert caught.value.remedy
    assert (repo / "age.py").read_text() == FILES["age.py"]
    assert list_skills(repo, config) == ()
    (run,) = list_runs(repo)
    assert (run.ended, run.grade) == (False, "")
    monkeypatch.delenv("DOCKER_HOST")
    result = resume(repo, run.id)
    assert result.verdict is not None
    assert result.verdict.grade is Grade.PROVED
    assert "years >= 18" in (repo / "age.py").read_text()
    commands = [e for e in read_events(result.run) if e.kind == "tests-call"]
    assert len(commands) == 2, "the baseline was answered from the log; one confirms the patch"
