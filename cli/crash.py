"""What happens on a bug of evo's own: everything into a log file, one line to the person."""

import os
import platform
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path


def state_folder() -> Path:
    """The folder of crash logs: EVO_HOME, or XDG's state folder (not created here)."""
    home = os.environ.get("EVO_HOME")
    if home:
        return Path(home).expanduser() / "log"
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "evo" / "log"


def write_crash_log(error: BaseException, arguments: list[str]) -> Path | None:
    """Write versions and the traceback, readable by the user only.

    Returns:
        The file, or None where none could be written.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    path = state_folder() / f"crash-{stamp}-{os.getpid()}.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", encoding="utf-8", opener=_private) as file:
            file.write(_report(error, arguments))
    except OSError:
        return None
    return path


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _report(error: BaseException, arguments: list[str]) -> str:
    trace = "".join(traceback.format_exception(error))
    return f"{_versions()}arguments: {arguments!r}\n\n{trace}"


def _versions() -> str:
    from importlib import metadata

    lines = [f"python: {sys.version}", f"platform: {platform.platform()}"]
    for name in ("evo-agent", "typer", "rich", "gitpython", "litellm", "chromadb", "docker"):
        try:
            lines.append(f"{name}: {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{name}: not installed")
    return "\n".join(lines) + "\n"
