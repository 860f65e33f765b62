"""One round of the agent: a scripted model over HTTP, litellm, a real sandbox and repository."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.agent import AgentSolver
from evo_agent.core.config import Config, ModelConfig
from evo_agent.core.confinement import SandboxSpec
from evo_agent.core.git import open_repository
from evo_agent.core.models import LiteLLMModel
from evo_agent.core.protocols import Assignment, Sandbox
from evo_agent.core.types import Candidate, Issue, Query, Recalled, Task
from evo_agent.sandboxes.select import open_sandbox
from evo_agent.sandboxes.workspace import Workspace
from evo_agent.tasks.testing import CommandRunner

CALC = """\
def add(a, b):
    return a - b


def mul(a, b):
    return a * b
"""


@dataclass
class Notes:
    """Keeps what the agent logs and says; answers recall with what it was given."""

    records: tuple[Recalled, ...] = ()
    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    queries: list[Query] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def emit(self, kind: str, **data: object) -> int:
        self.events.append((kind, data))
        return len(self.events)

    def recall(self, query: Query) -> tuple[Recalled, ...]:
        self.queries.append(query)
        return self.records


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def workspace(repo_factory: Callable[..., Path], tmp_path: Path) -> Workspace:
    repo = repo_factory(({"calc.py": CALC, "README.md": "calc\n"}, "start"))
    repository = open_repository(repo)
    return Workspace.create(repository, repository.head, tmp_path / "workspace")


@pytest.fixture
def sandbox(workspace: Workspace, tmp_path: Path) -> Iterator[Sandbox]:
    quiet = {"PYTHONDONTWRITEBYTECODE": "1"}  # as tasks.environment sets it
    spec = SandboxSpec(workspace=workspace.folder, env=quiet, spool=tmp_path / "spool")
    with open_sandbox(spec, workspace, "bubblewrap") as opened:
        yield opened


@pytest.fixture
def assignment(sandbox: Sandbox, notes: Notes, tmp_path: Path) -> Assignment:
    task = Task("t1", tmp_path / "repo", "base", Issue("add subtracts", "add(2, 3) gives -1."))
    return Assignment(
        task,
        sandbox,
        CommandRunner("python3 check.py", "python3 {tests}"),
        (),
        notes,
        notes,
        progress=notes.lines.append,
    )


@pytest.fixture
def config(model_server: Any) -> Config:
    model = ModelConfig(name="openai/fake", api_base=model_server.url, retries=1, timeout=20)
    return Config(model=model)


@dataclass
class Running:
    """What a test of one round needs."""

    config: Config
    assignment: Assignment
    server: Any
    notes: Notes
    workspace: Workspace

    def by_text(self) -> "Running":
        """The same with a model that cannot call tools."""
        model = replace(self.config.model, text_actions=True)
        return replace(self, config=replace(self.config, model=model))

    def solver(self) -> AgentSolver:
        """A solver that does not wait between tries."""
        return AgentSolver(LiteLLMModel(self.config.model, lambda _: None), self.config)

    def solve(self, **changes: Any) -> Candidate:
        """Run a round with a solver of its own."""
        return self.solver().solve(replace(self.assignment, **changes))

    def told(self, number: int = -1) -> str:
        """Text of the last message of a request: what the model was told."""
        return str(self.server.requests[number]["messages"][-1]["content"])


@pytest.fixture
def run(
    config: Config,
    assignment: Assignment,
    model_server: Any,
    notes: Notes,
    workspace: Workspace,
) -> Running:
    return Running(config, assignment, model_server, notes, workspace)
