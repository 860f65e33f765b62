"""Finding a container engine: Docker's, or podman's socket, which speaks the same API."""

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from evo_agent.core.errors import MissingDependencyError, SandboxError

_CALL_SECONDS = 120  # for one call of the engine's API


@dataclass(frozen=True)
class Engine:
    """An engine that answers.

    Attributes:
        name: docker or podman.
        address: where it listens.
        client: docker-py's DockerClient (the package has no types).
        facts: what the engine says of itself (GET /info).
    """

    name: str
    address: str
    client: Any
    facts: dict[str, Any]

    @property
    def version(self) -> str:
        """The engine's version."""
        return str(self.facts.get("ServerVersion", "?"))

    @property
    def rootless(self) -> bool:
        """Whether it runs in its user's name, so that root inside is that user outside."""
        return any("rootless" in str(o) for o in self.facts.get("SecurityOptions") or ())

    def connect(self, timeout: float) -> Any:
        """Another client, whose calls take at most `timeout` seconds to begin answering."""
        return _client(self.address, timeout)

    def listens(self) -> bool:
        """Whether somebody still listens at its address."""
        try:
            _knock(self.address)
        except OSError:
            return False
        return True


def sockets(name: str) -> list[str]:
    """Addresses where an engine of that name may listen, the user's own choice first."""
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    if name == "podman":
        chosen = os.environ.get("CONTAINER_HOST", "")
        paths = ["/run/podman/podman.sock", f"{runtime}/podman/podman.sock"]
    else:
        chosen = os.environ.get("DOCKER_HOST", "")
        home = Path.home() / ".docker/run/docker.sock"  # Docker Desktop
        paths = ["/var/run/docker.sock", f"{runtime}/docker.sock", str(home)]
    found = [f"unix://{path}" for path in paths if Path(path).is_socket()]
    return [chosen] if chosen else found


def find(name: str) -> Engine:
    """Connect to the engine called `name` (docker or podman).

    Raises:
        MissingDependencyError: the docker package is not installed.
        SandboxError: no engine answers.
    """
    engine = _find(name, tuple(sockets(name)))
    try:
        _knock(engine.address)
        engine.client.ping()
    except Exception as error:  # noqa: BLE001 (docker-py, requests and urllib3 raise their own)
        _find.cache_clear()
        engine.client.close()
        raise SandboxError(
            f"the {name} engine does not answer: {reason(error)}", start(name)
        ) from None
    return engine


def start(name: str) -> str:
    """The command that starts an engine."""
    if name == "podman":
        return "start it: systemctl --user start podman.socket"
    return "start it: systemctl start docker (or: sudo dockerd &)"


@cache
def _find(name: str, addresses: tuple[str, ...]) -> Engine:
    cause = "no socket was found"
    for address in addresses:
        client = None
        try:
            _knock(address)
            client = _client(address, _CALL_SECONDS)
            return Engine(_called(client, name), address, client, client.info())
        except MissingDependencyError:
            raise
        except Exception as error:  # noqa: BLE001 (see find)
            cause = f"{address}: {reason(error)}"
            if client is not None:
                client.close()
    raise SandboxError(f"no {name} engine answers ({cause})", start(name))


def _knock(address: str) -> None:
    """Try the socket first: docker-py leaves one open when nobody listens.

    Raises:
        OSError: nobody does.
    """
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as trial:
            trial.settimeout(5)
            trial.connect(address.removeprefix("unix://"))


def _client(address: str, timeout: float) -> Any:
    try:
        import docker  # type: ignore[import-untyped]
    except ImportError:
        raise MissingDependencyError(
            "the docker package is not installed", "pip install 'evo-agent[docker]'"
        ) from None
    return docker.DockerClient(base_url=address, timeout=timeout)


def _called(client: Any, name: str) -> str:
    """Podman, when DOCKER_HOST points at one."""
    parts = client.version().get("Components") or ()
    return "podman" if any("Podman" in str(part.get("Name")) for part in parts) else name


def reason(error: BaseException) -> str:
    """One line of an engine's error."""
    text = str(getattr(error, "explanation", "") or error)
    return text.strip().replace("\n", " ")[:300] or type(error).__name__
