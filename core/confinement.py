"""What a sandbox shows and what it may use."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evo_agent.core.types import WORKSPACE_ROOT


@dataclass(frozen=True, slots=True)
class Mount:
    """A host directory shown inside a sandbox."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """What a sandbox may use. A limit that a backend cannot enforce is reported, not ignored."""

    memory_mb: int = 4096
    cpus: float = 2.0
    processes: int = 512
    tmp_mb: int = 1024
    output_bytes: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """Everything a backend needs to start a sandbox.

    Attributes:
        workspace: host directory shown writable at `root`.
        root: absolute path inside; commands start there.
        mounts: further directories, read-only unless they say otherwise.
        env: variables set for every command. Nothing of the host's environment is passed.
        network: only builds of environments ask for it.
        image: docker image name; None means the default image. Other backends ignore it.
        labels: kept with the sandbox so that leftovers of a killed run can be found.
        spool: host directory where whole outputs of truncated commands go.
    """

    workspace: Path
    root: str = WORKSPACE_ROOT
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    network: bool = False
    image: str | None = None
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    labels: Mapping[str, str] = field(default_factory=dict)
    spool: Path | None = None
