"""Commands in a hardened container of Docker, or of podman through the same API.

The driver (see shell.py) is the container's own program, attached before it starts. Its stdin
is this process's: when evo dies, however it dies, stdin ends, the driver with it, and the
engine removes the container. What is left all the same carries labels (see `remove_leftovers`).
"""

import contextlib
import os
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evo_agent.core.confinement import SandboxSpec
from evo_agent.core.errors import EvoError, SandboxError
from evo_agent.core.protocols import Tree
from evo_agent.sandboxes import engine as engines
from evo_agent.sandboxes.base import ShellSandbox, environment, identity
from evo_agent.sandboxes.channel import FrameChannel
from evo_agent.sandboxes.image import ensure_image
from evo_agent.sandboxes.network import CA_INSIDE, build_environment, ca_bundle
from evo_agent.sandboxes.shell import driver

LABEL = "evo.sandbox"
OWNER = "evo.owner"
_SMALL_TMPFS = "rw,nosuid,nodev,size=64m,mode=1777"


class DockerSandbox(ShellSandbox):
    """See core.protocols.Sandbox."""

    def __init__(self, spec: SandboxSpec, tree: Tree | None, engine: str = "docker") -> None:
        self._engine = engines.find(engine)
        super().__init__(spec, tree)
        self._image = ensure_image(self._engine, spec.image)
        self._container = ""
        try:
            self._shell()
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The backend: docker or podman."""
        return self._engine.name

    @property
    def not_limited(self) -> tuple[str, ...]:
        """Limits that are not enforced here, by name."""
        facts = self._engine.facts
        needs = {"memory": "MemoryLimit", "cpus": "CpuCfsQuota", "processes": "PidsLimit"}
        return tuple(name for name, fact in needs.items() if facts.get(fact) is False)

    def _connect(self) -> FrameChannel:
        self._engine = engines.find(self._engine.name)
        api = self._engine.client.api
        try:
            made = api.create_container(**self._request())
            self._container = str(made["Id"])
            stream = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            channel = FrameChannel(_socket(api.attach_socket(self._container, stream)))
        except Exception as error:
            self._remove()
            raise self._failure(error) from error
        try:
            api.start(self._container)
        except Exception as error:
            channel.close()
            self._remove()
            raise self._failure(error) from error
        return channel

    def _drop(self) -> None:
        super()._drop()
        self._remove()

    def _remove(self) -> None:
        """Remove the container now, even if auto-removal would."""
        container, self._container = self._container, ""
        if container and self._engine.listens():
            with contextlib.suppress(Exception):  # gone already, or its engine is
                self._engine.client.api.remove_container(container, force=True)

    def _failure(self, error: Exception) -> EvoError:
        cause = engines.reason(error)
        if "No such image" in cause:
            return SandboxError(f"image {self._image} is not there", f"docker pull {self._image}")
        try:
            engines.find(self._engine.name)
        except SandboxError as gone:
            return gone
        return SandboxError(f"{self.name} could not start a container: {cause}", "run `evo doctor`")

    def _request(self) -> dict[str, Any]:
        spec = self._spec
        variables = environment(spec)
        if spec.network:
            inside = CA_INSIDE if ca_bundle() else None
            variables = {**build_environment(inside), **variables}
        command = driver(spec.limits.processes)
        return {
            "image": self._image,
            "entrypoint": command[:1],
            "command": command[1:],
            "name": f"evo-{uuid.uuid4().hex[:12]}",
            "user": self._user(),
            "working_dir": spec.root,
            "environment": variables,
            "labels": {**spec.labels, LABEL: "1", OWNER: _owner()},
            "stdin_open": True,
            "hostname": "evo",
            "network_disabled": not spec.network,
            "host_config": self._host_config(),
        }

    def _user(self) -> str:
        if self._engine.rootless and self.name == "docker":
            return "0:0"  # root inside is the engine's user outside, who owns the workspace
        return "{}:{}".format(*identity())

    def _host_config(self) -> dict[str, Any]:
        """HostConfig of the Engine API's "Create a container"."""
        limits = self._spec.limits
        memory = limits.memory_mb * 1024 * 1024
        config: dict[str, Any] = {
            "Init": True,
            "AutoRemove": True,
            "ReadonlyRootfs": True,
            "NetworkMode": "bridge" if self._spec.network else "none",
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "PidsLimit": limits.processes,
            "Memory": memory,
            "MemorySwap": memory,
            "NanoCpus": int(min(limits.cpus, self._engine.facts.get("NCPU") or 1) * 1e9),
            "IpcMode": "private",
            # what commands print must not fill the engine's disk
            "LogConfig": {"Type": "none"},
            "Tmpfs": {
                "/tmp": f"rw,exec,nosuid,nodev,size={limits.tmp_mb}m,mode=1777",  # noqa: S108
                "/var/tmp": _SMALL_TMPFS,  # noqa: S108 (inside)
                "/run": _SMALL_TMPFS,
            },
            "Mounts": self._mounts(),
            "Ulimits": self._ulimits(),
        }
        if self._engine.rootless and self.name == "podman":
            config["UsernsMode"] = "keep-id"
        return config

    def _mounts(self) -> list[dict[str, Any]]:
        spec = self._spec
        shown = [(spec.workspace, spec.root, True)]
        shown += [(m.source, m.target, m.writable) for m in spec.mounts]
        bundle = ca_bundle() if spec.network else None
        if bundle:
            shown.append((Path(bundle), CA_INSIDE, False))
        return [
            {"Type": "bind", "Source": str(s.resolve()), "Target": t, "ReadOnly": not w}
            for s, t, w in shown
        ]

    def _ulimits(self) -> list[dict[str, Any]]:
        limits = {"core": 0}
        if self.name == "podman":  # 4.3 starts a hardened container only with both of these
            limits |= {"nofile": 1024, "nproc": 4096}
        return [{"Name": name, "Soft": value, "Hard": value} for name, value in limits.items()]


def podman(spec: SandboxSpec, tree: Tree | None) -> DockerSandbox:
    """The same, with podman's engine."""
    return DockerSandbox(spec, tree, "podman")


def remove_leftovers(engine: str = "docker", labels: Mapping[str, str] | None = None) -> int:
    """Remove sandboxes whose evo is gone.

    Args:
        engine: docker or podman.
        labels: only those that carry these.

    Returns:
        How many were removed.

    Raises:
        SandboxError: no engine answers.
    """
    api = engines.find(engine).client.api
    wanted = [f"{LABEL}=1", *(f"{key}={value}" for key, value in (labels or {}).items())]
    removed = 0
    for container in api.containers(all=True, filters={"label": wanted}):
        if not _alive(container["Labels"].get(OWNER, "")):
            with contextlib.suppress(Exception):  # another process was faster
                api.remove_container(container["Id"], force=True)
                removed += 1
    return removed


def _owner() -> str:
    """This process, named so that no later one is taken for it: boot, pid and start time."""
    return f"{_boot()}:{os.getpid()}:{_started(os.getpid())}"


def _alive(owner: str) -> bool:
    boot, _, process = owner.partition(":")
    pid, _, started = process.partition(":")
    if boot != _boot() or not pid.isdigit():
        return True  # of another machine that shares the engine: not ours to judge
    return started == _started(int(pid))


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str:
    """Start time in clock ticks, field 22 of proc(5)'s stat; empty when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _socket(attached: Any) -> socket.socket:
    """The connection under docker-py's file object, free of the response that would close it."""
    inner = getattr(attached, "_sock", attached)
    connection = socket.socket(fileno=os.dup(inner.fileno()))
    getattr(attached, "_response", attached).close()
    attached.close()
    return connection
