"""Images by name: whether the engine has one, and fetching it."""

from collections.abc import Callable

from evo_agent.core.errors import SandboxError
from evo_agent.sandboxes.engine import Engine, reason

Progress = Callable[[str], None]

PULL_SECONDS = 20  # for a registry to begin answering
_NOT_FOUND = 404


def exists(engine: Engine, image: str) -> bool:
    """Whether the engine has it.

    Raises:
        SandboxError: the engine does not answer.
    """
    try:
        engine.client.api.inspect_image(image)
    except Exception as error:
        if getattr(error, "status_code", None) == _NOT_FOUND:
            return False
        raise SandboxError(f"the {engine.name} engine failed: {reason(error)}") from error
    return True


def pull(engine: Engine, image: str) -> str:
    """Fetch an image; why it could not be, as one line, or nothing.

    The engine's own tries to reach a registry can take minutes, so it gets PULL_SECONDS to
    begin; a download that has begun is not hurried.
    """
    name, tag = _split(image)
    client = engine.connect(PULL_SECONDS)
    try:
        for line in client.api.pull(name, tag=tag, stream=True, decode=True):
            if "error" in line:
                return str(line["error"]).strip()
    except Exception as error:  # noqa: BLE001 (docker-py, requests and urllib3 raise their own)
        return reason(error)
    finally:
        client.close()
    return ""


def ensure_named(engine: Engine, image: str, progress: Progress) -> str:
    """Make sure that a named image is there; give its name.

    Raises:
        SandboxError: it is not, and cannot be pulled.
    """
    if exists(engine, image):
        return image
    progress(f"pulling {image}")
    cause = pull(engine, image)
    if cause:
        raise SandboxError(
            f"image {image} is not there and cannot be pulled: {cause}",
            f"{engine.name} pull {image}, or leave sandbox.image empty",
        )
    return image


def _split(image: str) -> tuple[str, str]:
    """Name and tag; a colon before a slash is a registry's port."""
    if "@" in image:
        name, _, digest = image.partition("@")
        return name, digest
    name, colon, tag = image.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (image, "latest")
