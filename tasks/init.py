"""`evo init`: evo.toml, with what was found in the repository and every key explained."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from evo_agent.core.config import Config
from evo_agent.core.errors import EvoError
from evo_agent.tasks.visible import visible

CONFIG_FILE = "evo.toml"
_ENVIRONMENTS = (".venv", "venv", "env")
_BYTES = 256 * 1024  # more of a Makefile or package.json is not read
_TEST_COMMANDS = (  # a file, what must stand in it, the command
    ("package.json", r'"test"\s*:', "npm test"),
    ("Cargo.toml", r"^\[package\]|^\[workspace\]", "cargo test"),
    ("go.mod", r"^module ", "go test ./..."),
    ("pom.xml", r"<project", "mvn -q test"),
    ("build.gradle", r"", "gradle test"),
    ("Makefile", r"^test\s*:", "make test"),
)


@dataclass(frozen=True, slots=True)
class Written:
    """The file that was written, and what was found, a line each."""

    path: Path
    why: tuple[str, ...]


def write_config(root: Path, config: Config, *, force: bool = False) -> Written:
    """Write evo.toml at the top of a repository.

    Args:
        root: the repository's top folder; its files are read as hostile input.
        config: the present configuration; a test command in it is kept.
        force: replace a file that is there.

    Raises:
        EvoError: there is one already and force is not given, or it cannot be written.
    """
    path = root / CONFIG_FILE
    if os.path.lexists(path) and not force:
        raise EvoError(f"{path} is there already", "use --force to replace it")
    settings, why = _found(root, config)
    template = (resources.files("evo_agent.tasks") / "init_template.toml").read_text("utf-8")
    comments = [f"# found: {_line(text)}" for text in why]
    _put(path, Template(template).substitute(found="\n".join([*comments, *settings])))
    return Written(path, why)


def _put(path: Path, text: str) -> None:
    """Write beside, then rename: a link that stands there is replaced, never followed."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.unlink(missing_ok=True)
        with partial.open("x", encoding="utf-8") as file:
            file.write(text)
        partial.replace(path)
    except OSError as error:
        raise EvoError(
            f"{path} cannot be written: {error.strerror}", "make the folder writable"
        ) from error


def _found(root: Path, config: Config) -> tuple[list[str], tuple[str, ...]]:
    """Lines for [sandbox], and reasons."""
    why = list(_environments(root)) + list(_tools(root))
    if config.sandbox.test:
        return [_setting("test", config.sandbox.test)], (*why, "a test command, kept")
    project, reason = _detected(root, config)
    if project:
        return [], (*why, reason)
    for name, pattern, command in _TEST_COMMANDS:
        if re.search(pattern, _text(root / name), re.MULTILINE) and (root / name).is_file():
            return [_setting("test", command)], (*why, f"{name}: tests run by `{command}`")
    return [], (*why, reason)


def _detected(root: Path, config: Config) -> tuple[bool, str]:
    from evo_agent.tasks.detect import detect  # noqa: PLC0415  (keeps `evo init --help` light)

    try:
        project = detect(root, config)
    except EvoError as error:
        return False, f"{error.cause} ({error.remedy})"
    commands = "; ".join(project.setup) or "nothing to install"
    return True, f"{project.language}, {project.runner}, from {project.why}: {commands}"


def _environments(root: Path) -> Iterator[str]:
    """Virtual environments that are there; a run builds its own, so that it can be isolated."""
    active = os.environ.get("VIRTUAL_ENV", "")
    for folder in dict.fromkeys([*(root / name for name in _ENVIRONMENTS), Path(active or root)]):
        text = _text(folder / "pyvenv.cfg")
        if text:
            version = re.search(r"^version(?:_info)?\s*=\s*(\S+)", text, re.MULTILINE)
            python = f" (Python {version[1]})" if version else ""
            yield f"environment {folder}{python}; a run builds its own from the same files"


def _tools(root: Path) -> Iterator[str]:
    if _text(root / "tox.ini") or re.search(
        r"^\[tool\.tox\]", _text(root / "pyproject.toml"), re.MULTILINE
    ):
        yield "tox"
    if _text(root / "noxfile.py"):
        yield "nox"
    if re.search(r"^test\s*:", _text(root / "Makefile"), re.MULTILINE):
        yield "make test"


def _text(path: Path) -> str:
    """The beginning of a regular file; empty when there is none, or when it is a link."""
    try:
        if path.is_symlink() or not path.is_file():
            return ""
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_BYTES)
    except OSError:
        return ""


def _line(text: str) -> str:
    return " ".join(visible(text).split())


def _setting(key: str, value: str) -> str:
    return f"{key} = {json.dumps(visible(value), ensure_ascii=False)}"
