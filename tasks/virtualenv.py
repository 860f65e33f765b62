"""An existing virtual environment of the user's checkout, shown read-only to a sandbox.

It keeps its absolute path inside, with the prefix of the Python it was made from. An editable
installation in it points at the checkout, which the sandbox does not show; the same folders of
the workspace are put on PYTHONPATH instead, which comes before site-packages.
"""

import ast
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evo_agent.core.confinement import Mount
from evo_agent.core.types import WORKSPACE_ROOT

NAMES = (".venv", "venv")
_MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ExistingVenv:
    """A usable virtual environment.

    Attributes:
        folder: its place, on the host and in the sandbox.
        python: its interpreter.
        mounts: the environment, and the prefix of its Python unless that is below /usr.
        python_path: folders of the workspace that stand for editable installations.
    """

    folder: Path
    python: str
    mounts: tuple[Mount, ...]
    python_path: tuple[str, ...]


def existing_venv(checkout: Path, tree: Path) -> ExistingVenv | None:
    """The checkout's virtual environment, if it has pytest and can be shown safely.

    Args:
        checkout: the user's own working copy.
        tree: the workspace; a virtual environment that is committed is not the user's, and
            is not used.
    """
    for name in NAMES:
        folder = checkout.resolve() / name
        if folder.is_symlink() or not (folder / "pyvenv.cfg").is_file():
            continue
        if os.path.lexists(tree / name):
            continue
        found = _usable(folder, checkout.resolve())
        if found is not None:
            return found
    return None


def _usable(folder: Path, checkout: Path) -> ExistingVenv | None:
    python = (folder / "bin" / "python").resolve()
    prefix = python.parent.parent
    version = re.fullmatch(r"python(\d+\.\d+)", python.name)
    packages = sorted(folder.glob("lib/python3.*/site-packages"))
    if version is None or len(packages) != 1 or not (packages[0] / "pytest").is_dir():
        return None
    # A forged bin/python must not show some private folder to the sandbox: the prefix has to
    # be a Python's, and no folder that holds a home or the checkout (its ignored files, its
    # later commits).
    if not (prefix / "lib" / python.name / "os.py").is_file():
        return None
    if any(kept.is_relative_to(prefix) for kept in (Path.home().resolve(), checkout)):
        return None
    below_usr = prefix.is_relative_to("/usr") or prefix == Path(sys.base_prefix) == Path("/usr")
    mounts = [Mount(folder, str(folder))]
    if not below_usr:
        mounts.append(Mount(prefix, str(prefix)))
    roots = tuple(dict.fromkeys(_editable_roots(packages[0], checkout)))
    return ExistingVenv(folder, f"{folder}/bin/python", tuple(mounts), roots)


def _editable_roots(packages: Path, checkout: Path) -> Iterator[str]:
    """Folders of the workspace that editable installations in site-packages point at."""
    for path in _editable_paths(packages):
        resolved = Path(os.path.normpath(path))
        if resolved.is_relative_to(checkout):
            relative = resolved.relative_to(checkout).as_posix()
            yield WORKSPACE_ROOT if relative == "." else f"{WORKSPACE_ROOT}/{relative}"


def _editable_paths(packages: Path) -> Iterator[str]:
    for link in sorted(packages.glob("*.pth")):
        yield from (line for line in _text(link).splitlines() if line.startswith("/"))
    for finder in sorted(packages.glob("__editable___*_finder.py")):
        match = re.search(r"^MAPPING(?::[^=]*)? = (\{.*\})$", _text(finder), re.MULTILINE)
        yield from (str(Path(path).parent) for path in _values(match[1] if match else "{}"))


def _values(literal: str) -> Iterator[str]:
    try:
        mapping = ast.literal_eval(literal)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    yield from (path for path in mapping.values() if isinstance(path, str))


def _text(path: Path) -> str:
    if not path.is_file():  # a pipe would be waited for
        return ""
    with path.open("rb") as file:
        return file.read(_MAX_BYTES).decode("utf-8", "replace")
