"""What a patch does to the things that judge it.

A patch is judged by tests that it may touch. Their files, and everything that decides how
they run, are put back to base before the patch is judged; where only a part of a file judges
(pytest's section of pyproject.toml), a change of that part is refused instead.

What this cannot defend against: the patched code runs in the same process as the tests, so
code that reaches into pytest when it is imported, and hides that it does (by names put together
at run time, by walking frames or the garbage collector), can still forge an outcome; so can an
object that says it equals everything. What is defended against: every way from outside that
code, naming pytest in code that did not before (here), and leaving early or writing the report
in pytest's place (tasks.launcher). A person reads the diff before it is merged.
"""

import configparser
import json
import os
import re
import shutil
import stat
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from evo_agent.tasks.imports import is_test_support

# Files that decide how tests run, wherever in the tree they are.
JUDGING_NAMES = frozenset(
    {"conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini"}
    | {"noxfile.py", "Makefile", "makefile", "GNUmakefile", "justfile", "Taskfile.yml"}
    | {".mocharc.json", ".mocharc.js", ".mocharc.yml", "karma.conf.js", ".coveragerc"}
    | {f"{tool}.config.{end}" for tool in ("jest", "vitest") for end in ("js", "ts", "mjs", "cjs")}
)
# Python imports these by itself at every start.
_STARTUP_NAMES = frozenset({"sitecustomize.py", "usercustomize.py"})
_STARTUP_ENDS = (".pth", ".egg-link")
_METADATA_ENDS = (".egg-info", ".dist-info")  # entry points, found wherever sys.path leads
# A module of one of these names on a folder of sys.path is run in the place of the real one.
_MACHINERY = frozenset({"pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments"})
# Code that knows it is being tested, in a project whose code did not before.
_REACHES_PYTEST = re.compile(
    rb"^[ \t]*(?:from|import)[ \t]+_?pytest\b|PYTEST_[A-Z]+|[\"']_?pytest(?:\.\w+)*[\"']",
    re.MULTILINE,
)
_BUILDS = ("setup.py", "noxfile.py")
_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Touched:
    """What a patch changed, seen by comparing two trees on the host.

    Attributes:
        paths: files that were added, changed, or deleted; sorted.
        forbidden: one line for each edit that cannot be judged fairly.
    """

    paths: tuple[str, ...]
    forbidden: tuple[str, ...]


def compare(base: Path, patched: Path) -> Touched:
    """Compare two trees that no sandbox has had."""
    old, new = _files(base), _files(patched)
    paths = tuple(sorted(p for p in old.keys() | new.keys() if not _same(old.get(p), new.get(p))))
    forbidden = tuple(line for path in paths for line in _forbidden(base, patched, path))
    return Touched(paths, forbidden)


def judging_files(touched: Iterable[str], judged: Iterable[str]) -> tuple[str, ...]:
    """Of the files touched, those that judge: they are put back to base.

    Args:
        touched: paths that the patch changed.
        judged: the judged tests' files and whatever they import, as paths of the tree.
    """
    files = frozenset(judged)
    return tuple(
        path
        for path in touched
        if PurePosixPath(path).name in JUDGING_NAMES or (path in files and is_test_support(path))
    )


def put_back(base: Path, patched: Path, paths: Iterable[str]) -> None:
    """Give files of the patched tree their content at base; new ones go.

    Both trees are the host's own, so links in them are those of base and patch only; one that
    the patch put in the place of a folder is removed.
    """
    for path in paths:
        target = patched / path
        for parent in reversed(PurePosixPath(path).parents):
            if (patched / parent).is_symlink() and not (base / parent).is_symlink():
                (patched / parent).unlink()
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        target.unlink(missing_ok=True)
        if os.path.lexists(base / path):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(base / path, target, follow_symlinks=False)


def _files(tree: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder, names, files in os.walk(tree):
        names[:] = [name for name in names if name != ".git"]
        links = [name for name in names if Path(folder, name).is_symlink()]
        for name in (*files, *links):
            path = Path(folder, name)
            found[path.relative_to(tree).as_posix()] = path
    return found


def _same(old: Path | None, new: Path | None) -> bool:
    if old is None or new is None:
        return False
    a, b = old.lstat(), new.lstat()
    if stat.S_IFMT(a.st_mode) != stat.S_IFMT(b.st_mode):
        return False
    if stat.S_ISLNK(a.st_mode):
        return old.readlink() == new.readlink()
    executable = (a.st_mode ^ b.st_mode) & stat.S_IXUSR
    return not executable and a.st_size == b.st_size and old.read_bytes() == new.read_bytes()


def _forbidden(base: Path, patched: Path, path: str) -> Iterator[str]:
    pure = PurePosixPath(path)
    if pure.name in ("pyproject.toml", "setup.cfg", "package.json"):
        before, after = _test_settings(base / path), _test_settings(patched / path)
        if before != after:
            yield f"{path}: changes how the tests are run"
    if _reaches_pytest(patched, path) and not any(_reaches_pytest(base, p) for p in _files(base)):
        yield f"{path}: reaches into pytest, which no code of the project did before"
    if any(part.endswith(_METADATA_ENDS) for part in pure.parts):
        yield f"{path}: could register a plugin of pytest's"
    if os.path.lexists(base / path) or not os.path.lexists(patched / path):
        return
    if pure.name in _STARTUP_NAMES or pure.name.endswith(_STARTUP_ENDS):
        yield f"{path}: Python would run it at every start"
    name = _import_name(patched, pure)
    if name in _MACHINERY or name in sys.stdlib_module_names:
        yield f"{path}: would be imported in the place of {name}"


def _reaches_pytest(tree: Path, path: str) -> bool:
    pure, file = PurePosixPath(path), tree / path
    if pure.suffix != ".py" or pure.name in _BUILDS or is_test_support(path):
        return False
    if file.is_symlink() or not file.is_file():
        return False
    with file.open("rb") as source:
        return _REACHES_PYTEST.search(source.read(_MAX_BYTES)) is not None


def _import_name(tree: Path, path: PurePosixPath) -> str:
    """The top-level name a new file could be imported by; empty for a module of a package."""
    folder = path.parent
    if path.name == "__init__.py" and str(folder) != ".":
        return folder.name if _on_path(tree, folder.parent) else ""
    importable = path.suffix in (".py", ".so", ".pyc") and _on_path(tree, folder)
    return path.name.split(".")[0] if importable else ""


def _on_path(tree: Path, folder: PurePosixPath) -> bool:
    """Whether pytest or an editable installation may put a folder on sys.path."""
    if (tree / folder / "__init__.py").exists():
        return False
    if str(folder) in (".", "src", "lib"):
        return True
    return any(is_test_support(path.name) for path in (tree / folder).glob("*.py"))


def _test_settings(path: Path) -> object:
    """The part of a file that decides how tests run, in comparable form."""
    try:
        if path.is_symlink() or path.stat().st_size > _MAX_BYTES:
            return "unreadable"
        text = path.read_text("utf-8", "replace")
    except OSError:  # a file that is not there decides nothing
        text = "{}" if path.name == "package.json" else ""
    try:
        return _READERS[path.name](text)
    except (ValueError, configparser.Error, RecursionError):
        return "unreadable"


def _of_pyproject(text: str) -> object:
    tool = _mapping(tomllib.loads(text).get("tool"))
    pytest = _mapping(tool.get("pytest"))
    options = dict(_mapping(pytest.get("ini_options")))
    options.pop("markers", None)  # a name for a mark weakens nothing
    rest = {key: value for key, value in pytest.items() if key not in ("ini_options", "markers")}
    return [options, rest, tool.get("tox"), tool.get("evo")]


def _of_setup_cfg(text: str) -> object:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read_string(text)
    section = "tool:pytest"
    options = dict(parser[section]) if parser.has_section(section) else {}
    options.pop("markers", None)
    return options


def _of_package_json(text: str) -> object:
    data = _mapping(json.loads(text))
    return [data.get(key) for key in ("scripts", "jest", "mocha", "ava", "tap", "c8", "nyc")]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


_READERS = {
    "pyproject.toml": _of_pyproject,
    "setup.cfg": _of_setup_cfg,
    "package.json": _of_package_json,
}
