"""`evo doctor`: what is missing, and the command that mends it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from evo_agent.core.config import Config, cache_folder, data_folder, load_config
from evo_agent.core.confinement import SandboxSpec
from evo_agent.core.errors import EvoError

OK, NOTE, MISSING = "ok", "note", "missing"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_OLDEST_PYTHON = (3, 11)
_EXTRAS = (  # package, extra, what it is for
    ("litellm", "agent", "models; without it the repair solver works alone"),
    ("chromadb", "memory", "the index of memory"),
    ("docker", "docker", "docker and podman sandboxes"),
    ("playwright", "gui", "browser tasks"),
)
_PROC = Path("/proc/sys")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: ok | note (works without it) | missing (`evo fix` cannot run).
        remedy: the command or step that mends it.
    """

    name: str
    level: str
    detail: str
    remedy: str = ""


def fit(findings: tuple[Finding, ...]) -> bool:
    """Whether `evo fix` can run here."""
    return all(finding.level != MISSING for finding in findings)


def examine(folder: Path) -> tuple[Finding, ...]:
    """Look at everything a run needs; nothing is changed or installed.

    Args:
        folder: a folder of a repository, or any other: then that is a finding.
    """
    return tuple(_everything(folder))


def _everything(folder: Path) -> Iterator[Finding]:
    yield _python()
    yield _git()
    root, finding = _repository(folder)
    yield finding
    try:
        config = load_config(root)
        yield Finding("configuration", OK, "it can be read")
    except EvoError as error:
        config = Config()
        yield Finding("configuration", MISSING, error.cause, error.remedy)
    yield from _packages()
    yield from _sandboxes()
    yield from _user_namespaces()
    yield _browser()
    yield _model(config)
    yield _writable("memory", data_folder(config, root), "set EVO_MEMORY_PATH to a writable folder")
    yield _writable("cache", cache_folder(), "set EVO_HOME to a writable folder")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < _OLDEST_PYTHON:
        return Finding("python", MISSING, f"{version} is too old", "install Python 3.11 or newer")
    return Finding("python", OK, f"{version} ({sys.executable})")


def _git() -> Finding:
    from evo_agent.core.git.harden import OLDEST_GIT  # noqa: PLC0415  (the room that knows)

    said = _said(["git", "--version"])
    if not said:
        return Finding("git", MISSING, "it is not installed", "sudo apt-get install git")
    numbers = [int(part) for part in said.split()[2].split(".")[:2] if part.isdigit()]
    if tuple(numbers) < OLDEST_GIT:
        oldest = ".".join(map(str, OLDEST_GIT))
        return Finding("git", MISSING, f"{said} is too old", f"install git {oldest} or newer")
    return Finding("git", OK, said)


def _repository(folder: Path) -> tuple[Path | None, Finding]:
    from evo_agent.core.git import open_repository  # noqa: PLC0415  (opens git)

    try:
        repository = open_repository(folder)
    except EvoError as error:
        return None, Finding("repository", NOTE, error.cause, error.remedy)
    return repository.root, Finding("repository", OK, str(repository.root))


def _packages() -> Iterator[Finding]:
    for package, extra, purpose in _EXTRAS:
        if find_spec(package) is None:
            remedy = f"pip install 'evo-agent[{extra}]'"
            yield Finding(package, NOTE, f"not installed ({purpose})", remedy)
        else:
            yield Finding(package, OK, f"installed ({purpose})")


def _sandboxes() -> Iterator[Finding]:
    from evo_agent.sandboxes.select import available_backends  # noqa: PLC0415  (asks engines)

    found = [status for status in available_backends() if status.name != "local"]
    for status in found:
        level = OK if status.usable else NOTE
        remedy = "" if status.usable else status.remedy
        yield Finding(f"sandbox {status.name}", level, status.detail, remedy)
        if status.usable and status.name == "bubblewrap":
            yield _limits()
    if not any(status.usable for status in found):
        yield Finding(
            "sandbox",
            MISSING,
            "no isolating sandbox works here",
            "sudo apt-get install bubblewrap (or docker.io, and start its engine)",
        )


def _limits() -> Finding:
    """Which limits bubblewrap cannot enforce here, seen on one that is really started."""
    from evo_agent.sandboxes.select import open_sandbox  # noqa: PLC0415

    try:
        with (
            tempfile.TemporaryDirectory(prefix="evo-doctor-") as folder,
            open_sandbox(SandboxSpec(workspace=Path(folder)), None, "bubblewrap") as sandbox,
        ):
            loose = sandbox.not_limited
    except EvoError as error:
        return Finding("limits in bubblewrap", NOTE, error.cause, error.remedy)
    if loose:
        detail = f"not limited: {', '.join(loose)}"
        remedy = "use docker where that matters (bubblewrap needs a writable cgroup for it)"
        return Finding("limits in bubblewrap", NOTE, detail, remedy)
    return Finding("limits in bubblewrap", OK, "memory, cpus and processes are limited")


def _user_namespaces() -> Iterator[Finding]:
    """Ubuntu 24.04 lets only programs with an AppArmor profile make user namespaces."""
    if os.geteuid() == 0 or not shutil.which("bwrap"):
        return
    if _kernel("kernel/apparmor_restrict_unprivileged_userns") == "1":
        yield Finding(
            "user namespaces",
            NOTE,
            "AppArmor restricts them, so bubblewrap may not start",
            "sudo apt-get install apparmor-profiles && sudo ln -s "
            "/usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/ && "
            "sudo systemctl reload apparmor",
        )
    if _kernel("kernel/unprivileged_userns_clone") == "0":
        yield Finding(
            "user namespaces",
            NOTE,
            "the kernel keeps them to root, so bubblewrap cannot start",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        )


def _kernel(name: str) -> str:
    try:
        return (_PROC / name).read_text("ascii").strip()
    except OSError:
        return ""


def _browser() -> Finding:
    named = os.environ.get("EVO_CHROMIUM", "")
    found = named or next(filter(None, map(shutil.which, BROWSERS)), "")
    if not found:
        detail, remedy = "no Chromium (browser tasks)", "sudo apt-get install chromium"
        return Finding("browser", NOTE, detail, remedy)
    return Finding("browser", OK, found)


def _model(config: Config) -> Finding:
    if not config.model.name:
        remedy = "EVO_MODEL_NAME=provider/model, with the provider's API key in its own variable"
        return Finding("model", NOTE, "none configured: the repair solver works without", remedy)
    return Finding("model", OK, config.model.name)


def _writable(name: str, folder: Path, remedy: str) -> Finding:
    """Whether files can be made there, or in the nearest folder above that exists."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return Finding(name, MISSING, f"{folder} cannot be written: {error.strerror}", remedy)
    return Finding(name, OK, str(folder))


def _said(command: list[str]) -> str:
    """First line of a program's output; empty when it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().split("\n")[0] if done.returncode == 0 else ""
