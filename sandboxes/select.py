"""Which sandbox: a name to a class, imported only when chosen."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from evo_agent.core.confinement import SandboxSpec
from evo_agent.core.errors import ConfigError, EvoError, SandboxError
from evo_agent.core.protocols import Sandbox, Tree
from evo_agent.sandboxes import bubblewrap, engine

Backend = Callable[[SandboxSpec, Tree | None], Sandbox]

_BACKENDS = {
    "docker": "evo_agent.sandboxes.docker:DockerSandbox",
    "podman": "evo_agent.sandboxes.docker:podman",
    "bubblewrap": "evo_agent.sandboxes.bubblewrap:BubblewrapSandbox",
    "local": "evo_agent.sandboxes.local:LocalSandbox",
}
_ISOLATED = ("docker", "podman", "bubblewrap")  # in order of preference


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """Whether a backend can be used here.

    Attributes:
        name: docker, podman, bubblewrap or local.
        usable: whether a sandbox can be opened.
        detail: one line: the version, or why not.
        remedy: the command that mends it; empty when usable.
    """

    name: str
    usable: bool
    detail: str
    remedy: str = ""


def open_sandbox(spec: SandboxSpec, tree: Tree | None, backend: str = "auto") -> Sandbox:
    """Start a sandbox.

    Args:
        spec: what it shows and what it may use.
        tree: the workspace's host side, for diff, snapshot and restore; None without one.
        backend: auto, docker, podman, bubblewrap or local. `auto` never means local.

    Raises:
        ConfigError: there is no such backend.
        MissingDependencyError: a program or package of the backend is not installed.
        SandboxError: it cannot be started.
    """
    if backend != "auto":
        return _class(backend)(spec, tree)
    reasons = []
    for name in _ISOLATED:
        status = _status(name)
        if status.usable:
            return _class(name)(spec, tree)
        reasons.append(f"{name}: {status.detail}")
    raise SandboxError(
        f"no sandbox can be used here ({'; '.join(reasons)})",
        "run `evo doctor`; --sandbox local works everywhere, without any isolation",
    )


def available_backends() -> tuple[BackendStatus, ...]:
    """What can be used on this machine, in order of preference."""
    warning = BackendStatus("local", usable=True, detail="no isolation; only when named")
    return (*(_status(name) for name in _ISOLATED), warning)


def _class(name: str) -> Backend:
    if name not in _BACKENDS:
        raise ConfigError(
            f"there is no sandbox called {name!r}", f"known: auto, {', '.join(_BACKENDS)}"
        )
    module, _, attribute = _BACKENDS[name].partition(":")
    return cast("Backend", getattr(importlib.import_module(module), attribute))


def _status(name: str) -> BackendStatus:
    if name == "bubblewrap":
        return _bubblewrap()
    try:
        found = engine.find(name)
    except EvoError as error:
        return BackendStatus(name, usable=False, detail=error.cause, remedy=error.remedy)
    return BackendStatus(
        name, usable=True, detail=f"{found.name} {found.version} at {found.address}"
    )


def _bubblewrap() -> BackendStatus:
    if sys.platform != "linux":
        return BackendStatus("bubblewrap", usable=False, detail="Linux only", remedy="use docker")
    cause = bubblewrap.missing()
    if cause:
        remedy = bubblewrap.remedy(cause)
        return BackendStatus("bubblewrap", usable=False, detail=cause, remedy=remedy)
    return BackendStatus("bubblewrap", usable=True, detail="namespaces, no engine")
