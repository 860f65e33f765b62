"""A run of the agent through its log: resumed where it was killed, replayed offline."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.agent import AgentSolver
from evo_agent.core.config import LimitsConfig, ModelConfig
from evo_agent.core.errors import ModelError
from evo_agent.core.events import RunLog, read_events
from evo_agent.core.models import LiteLLMModel, make_model
from evo_agent.core.protocols import Model
from evo_agent.core.recorded import RecordedModel, RecordedSandbox
from evo_agent.core.types import Candidate
from evo_agent.sandboxes.select import open_sandbox
from evo_agent.sandboxes.workspace import Workspace

pytestmark = pytest.mark.bubblewrap

Running = Any  # tests/core/conftest.py has it

FIX = {
    "command": "str_replace",
    "path": "calc.py",
    "old": "    return a - b",
    "new": "    return a + b",
}


def solve(run: Running, model: Model, log: RunLog, workspace: Workspace) -> Candidate:
    """One round with everything logged, in a sandbox of its own."""
    spec = run.assignment.sandbox._spec
    spec = replace(spec, workspace=workspace.folder)
    with open_sandbox(spec, workspace, "bubblewrap") as real:
        sandbox = RecordedSandbox(real, log, base=workspace.snapshot())
        solver = AgentSolver(RecordedModel(model, log), run.config)
        return solver.solve(replace(run.assignment, sandbox=sandbox, log=log))


def happened(folder: Path) -> list[tuple[str, str]]:
    """What a log says happened, clocks aside."""
    lines = []
    for event in read_events(folder):
        data = json.loads(json.dumps(event.data))
        if isinstance(data.get("value"), dict):
            data["value"].pop("duration", None)
            data["value"].pop("cost", None)
        data.pop("model", None)
        data.pop("digest", None) if event.kind == "model-call" else None
        lines.append((event.kind, json.dumps(data, sort_keys=True)))
    return lines


def script(run: Running) -> None:
    run.server.call("bash", command="cat calc.py")
    run.server.call("edit", command="view", path="calc.py")
    run.server.calls(("edit", FIX), content="The sign is wrong: é.")
    run.server.call("bash", command="python3 -c 'import calc; print(calc.add(2, 3))'")
    run.server.call("submit", note="sign")


def test_a_recorded_run_replays_offline_to_the_byte(run: Running, tmp_path: Path) -> None:
    """UniSim: recorded runs replay with changed conditions — byte-identical replay offline."""
    script(run)
    online = LiteLLMModel(run.config.model)
    with RunLog.create(tmp_path / "run") as log:
        recorded = solve(run, online, log, run.workspace)
    asked = len(run.server.requests)

    offline = make_model(ModelConfig(name=f"replay:{tmp_path / 'run'}"))
    with RunLog.create(tmp_path / "again") as log:
        again = solve(run, offline, log, run.workspace.copy(tmp_path / "again-tree"))
    assert len(run.server.requests) == asked
    assert again.patch.encode() == recorded.patch.encode()
    assert happened(tmp_path / "again") == happened(tmp_path / "run")

    # a changed condition: the same replies, one step fewer; the same prefix, another end
    run.config = replace(run.config, limits=LimitsConfig(steps=2))
    offline = make_model(ModelConfig(name=f"replay:{tmp_path / 'run'}"))
    with RunLog.create(tmp_path / "short") as log:
        short = solve(run, offline, log, run.workspace.copy(tmp_path / "short-tree"))
    assert (short.stopped, short.patch) == ("step limit (2 of 2)", "")
    common = happened(tmp_path / "short")[:-2]  # all but the closing diff
    assert common == happened(tmp_path / "run")[: len(common)]
    assert len([kind for kind, _ in common if kind == "model-result"]) == 2


def test_a_resumed_run_asks_and_runs_only_what_is_missing(run: Running, tmp_path: Path) -> None:
    """SCOPE: keep the correct prefix, resume at the first wrong step."""
    run.config = replace(run.config, model=replace(run.config.model, retries=0))
    run.server.call("bash", command="date +%N | tee stamp")
    run.server.call("edit", **FIX)
    run.server.fail(500)
    model = LiteLLMModel(run.config.model)
    with RunLog.create(tmp_path / "run") as log, pytest.raises(ModelError):
        solve(run, model, log, run.workspace)
    stamp = (run.workspace.folder / "stamp").read_bytes()

    run.server.call("bash", command="cat stamp; grep -c 'a + b' calc.py").call("submit")
    with RunLog.reopen(tmp_path / "run") as log:
        candidate = solve(
            run, model, log, Workspace.open(run.workspace.repository, run.workspace.home)
        )
    assert candidate.stopped == "submitted"
    assert len(run.server.requests) == 3 + 2
    assert stamp.decode().strip() in run.told()
    assert "+    return a + b" in candidate.patch
    stamps = [e for e in read_events(tmp_path / "run") if "date +%N" in str(e.data.get("command"))]
    assert len(stamps) == 1
