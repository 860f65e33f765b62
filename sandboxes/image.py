"""How an image comes to be: named, built from what the repository describes, or evo's own.

Each image's tag holds the hash of all it was built from, so a second call finds it and costs
one question to the engine.
"""

from pathlib import Path

from evo_agent.sandboxes.engine import Engine
from evo_agent.sandboxes.image_base import ensure_default
from evo_agent.sandboxes.image_build import build_described
from evo_agent.sandboxes.registry import Progress, ensure_named


def ensure_image(
    engine: Engine,
    image: str | None = None,
    *,
    repository: Path | None = None,
    progress: Progress = lambda _: None,
) -> str:
    """Make sure that an image is there; give its name.

    Args:
        engine: where it is needed.
        image: its name; None for what `repository` describes, or else the default.
        repository: a clean checkout whose Dockerfile or .devcontainer may describe an image.
            Its build runs in containers, with the network, and sees nothing else of the host.
        progress: called with one line now and then.

    Raises:
        SandboxError: it is not there and cannot be made.
    """
    if image:
        return ensure_named(engine, image, progress)
    if repository is not None:
        built = build_described(engine, repository, progress)
        if built:
            return built
    return ensure_default(engine, progress)
