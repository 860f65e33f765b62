"""Options that several commands share, and how they become a repository and a Config."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evo_agent.core.errors import ConfigError

_BACKENDS = ("auto", "docker", "podman", "bubblewrap", "local")

if TYPE_CHECKING:
    from evo_agent.core.config import Config

Repo = Annotated[
    Path, typer.Option("--repo", metavar="DIR", help="The repository.", show_default="here")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, nothing else.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="litellm's provider/model, or replay:FILE. Without one, search repairs.",
    ),
]
ApiBase = Annotated[
    str | None, typer.Option("--api-base", metavar="URL", help="The model's endpoint.")
]
Backend = Annotated[
    str | None,
    typer.Option(
        "--sandbox", metavar="KIND", help="auto, docker, podman, bubblewrap or local (unsafe)."
    ),
]


def configure(repo: Path, **flags: Any) -> tuple[Path, "Config"]:
    """Find the repository that holds a folder, and read its configuration.

    Args:
        repo: the repository's folder, or one inside it.
        flags: `table__key` to value; None is left out.

    Returns:
        The repository's top folder and the configuration.

    Raises:
        RepositoryError: there is no repository.
        ConfigError: the configuration cannot be used.
    """
    from evo_agent.core.config import load_config
    from evo_agent.core.git import open_repository

    root = open_repository(repo).root
    dotted = {name.replace("__", "."): value for name, value in flags.items()}
    config = load_config(root, flags=dotted)
    if config.sandbox.backend not in _BACKENDS:
        raise ConfigError(
            f"there is no sandbox {config.sandbox.backend!r}", f"use one of {', '.join(_BACKENDS)}"
        )
    return root, config
