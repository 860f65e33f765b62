"""Sandboxes for tests: small, real, one for each backend."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.confinement import SandboxLimits, SandboxSpec
from evo_agent.sandboxes.base import ShellSandbox
from evo_agent.sandboxes.select import open_sandbox

SMALL = SandboxLimits(memory_mb=256, cpus=2, processes=64, tmp_mb=32, output_bytes=4096)
ISOLATED = [
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
]

Opener = Callable[..., Any]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "a.txt").write_text("hello\n")
    return folder


@pytest.fixture
def opener(workspace: Path, request: pytest.FixtureRequest) -> Opener:
    """Open sandboxes on the workspace; all are closed at the test's end."""

    def make(backend: str, **changes: Any) -> Any:
        spec = SandboxSpec(**{"workspace": workspace, "limits": SMALL, **changes})
        sandbox = open_sandbox(spec, None, backend)
        request.addfinalizer(sandbox.close)
        return sandbox

    return make


@pytest.fixture(params=ISOLATED)
def backend(request: pytest.FixtureRequest) -> str:
    """Name each backend that isolates."""
    return str(request.param)


@pytest.fixture
def sandbox(backend: str, opener: Opener) -> ShellSandbox:
    """Give one sandbox of each backend that isolates."""
    opened = opener(backend)
    assert isinstance(opened, ShellSandbox)
    return opened
