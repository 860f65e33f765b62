"""Reads what a Python repository says about its dependencies. The files are hostile input.

Nothing is executed: TOML, INI and Python's own syntax tree only. Files are bounded in size,
and a link that leaves the tree is not read. A file that cannot be parsed says nothing here;
pip will say what is wrong with it, with its log.
"""

import ast
import configparser
import os
import re
import tomllib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MAX_BYTES = 1024 * 1024
TEST_NAMES = ("test", "tests", "testing")  # extras and groups wanted first
DEV_NAMES = ("dev", "develop", "development")  # and these where there are none of those

_REQUIREMENTS = re.compile(r"(requirements[-_.]?)?(tests?|testing|dev)?([-_.]?requirements)?\.txt")
_PLUGINS = {  # what an option in a project's pytest configuration needs
    "--cov": "pytest-cov",
    "--numprocesses": "pytest-xdist",
    "-n": "pytest-xdist",
    "--timeout": "pytest-timeout",
    "--asyncio-mode": "pytest-asyncio",
    "--randomly-seed": "pytest-randomly",
    "--benchmark-disable": "pytest-benchmark",
    "--benchmark-skip": "pytest-benchmark",
    "--reruns": "pytest-rerunfailures",
}
_PLUGIN_KEYS = {
    "asyncio_mode": "pytest-asyncio",
    "timeout": "pytest-timeout",
    "django_settings_module": "pytest-django",
}


def exists(tree: Path, name: str) -> bool:
    """Whether the tree holds a file of this name; what links lead to outside does not count."""
    path = tree / name
    try:
        return path.is_file() and path.resolve().is_relative_to(tree.resolve())
    except (OSError, RuntimeError):  # a ring of links
        return False


def text(tree: Path, name: str) -> str:
    """A file of the tree as text; empty when it is missing, too large or outside."""
    if not exists(tree, name):
        return ""
    try:
        with (tree / name).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError:
        return ""
    return data.decode("utf-8", "replace") if len(data) <= MAX_BYTES else ""


def toml(tree: Path, name: str) -> Mapping[str, Any]:
    """A TOML file of the tree; empty when it cannot be read."""
    try:
        return tomllib.loads(text(tree, name))
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def ini(tree: Path, name: str) -> configparser.ConfigParser:
    """An INI file of the tree; without sections when it cannot be read."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text(tree, name))
    except configparser.Error:
        return configparser.ConfigParser(interpolation=None)
    return parser


def table(value: Any, *keys: str) -> Mapping[str, Any]:
    """A table inside nested tables; empty where there is something else."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def strings(value: Any) -> tuple[str, ...]:
    """The strings of a list; empty where there is something else."""
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def wanted(names: Mapping[str, Any] | set[str]) -> tuple[str, ...]:
    """Of extras or groups, those for tests; where there are none, those for development."""
    found = tuple(name for name in TEST_NAMES if name in names)
    return found or tuple(name for name in DEV_NAMES if name in names)


def group_requirements(groups: Mapping[str, Any]) -> tuple[str, ...]:
    """Requirements of the dependency groups wanted, includes followed (PEP 735)."""
    found: dict[str, None] = {}
    seen: set[str] = set()
    queue = list(wanted(groups))
    while queue:
        name = queue.pop(0)
        if name in seen:
            continue
        seen.add(name)
        items = groups.get(name)
        for item in items if isinstance(items, list) else ():
            if isinstance(item, str):
                found[item] = None
            elif isinstance(item, Mapping) and isinstance(item.get("include-group"), str):
                queue.append(item["include-group"])
    return tuple(found)


def extras(tree: Path) -> tuple[str, ...]:
    """The package's extras that are wanted for tests, wherever they are declared."""
    project = toml(tree, "pyproject.toml")
    names: set[str] = set(table(project, "project", "optional-dependencies"))
    names |= set(table(project, "tool", "poetry", "extras"))
    setup_cfg = ini(tree, "setup.cfg")
    if setup_cfg.has_section("options.extras_require"):
        names |= set(setup_cfg.options("options.extras_require"))
    names |= set(_extras_of_setup_py(text(tree, "setup.py")))
    return wanted(names)


def requirement_files(tree: Path) -> tuple[str, ...]:
    """requirements.txt and its kin for tests: at the top, in requirements/ and in tests/."""
    found: list[str] = []
    for folder in ("", "requirements/", "tests/", "test/"):
        names = _names(tree / folder)
        found += [folder + n for n in names if _REQUIREMENTS.fullmatch(n) and _fits(folder, n)]
    return tuple(found)


def included_files(tree: Path, name: str) -> tuple[str, ...]:
    """Files that a requirements file includes (-r, -c), itself first."""
    found: dict[str, None] = {}
    queue = [name]
    while queue and len(found) < 100:  # noqa: PLR2004 - a bound, not a meaning
        current = queue.pop()
        if current in found:
            continue
        found[current] = None
        folder = current.rpartition("/")[0]
        for line in text(tree, current).splitlines():
            match = re.match(r"\s*(?:-r|-c|--requirement|--constraint)[ =]+(\S+)", line)
            if match:
                queue.append(f"{folder}/{match[1]}" if folder else match[1])
    return tuple(found)


def pytest_plugins(tree: Path) -> tuple[str, ...]:
    """Plugins without which the project's own pytest configuration could not be read."""
    tables: list[Mapping[str, Any]] = [
        table(toml(tree, "pyproject.toml"), "tool", "pytest", "ini_options"),
        table(toml(tree, "pyproject.toml"), "tool", "pytest"),
    ]
    for name, section in (("pytest.ini", "pytest"), ("tox.ini", "pytest")):
        parser = ini(tree, name)
        tables += [dict(parser[section])] if parser.has_section(section) else []
    setup_cfg = ini(tree, "setup.cfg")
    tables += [dict(setup_cfg["tool:pytest"])] if setup_cfg.has_section("tool:pytest") else []
    return tuple(sorted({plugin for options in tables for plugin in _plugins(options)}))


def tox_dependencies(tree: Path) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """(dependencies, extras, commands) of tox's [testenv], lines for single factors left out."""
    parser = ini(tree, "tox.ini")
    if not parser.has_section("testenv"):
        return (), (), ()
    section = parser["testenv"]

    def lines(key: str) -> tuple[str, ...]:
        raw = (line.split(" #")[0].strip() for line in section.get(key, "").splitlines())
        plain = (line for line in raw if line and not re.match(r"!?[\w{},.!-]+: ", line))
        rooted = (line.replace("{toxinidir}/", "").replace("{tox_root}/", "") for line in plain)
        return tuple(line for line in rooted if "{" not in line and not line.startswith("#"))

    names = tuple(n.strip() for line in lines("extras") for n in line.split(",") if n.strip())
    return lines("deps"), names, lines("commands")


def nox_installs(tree: Path) -> tuple[str, ...]:
    """String arguments of `session.install(...)` in functions of noxfile.py about tests."""
    found: dict[str, None] = {}
    for function in ast.walk(_parse(text(tree, "noxfile.py"))):
        if isinstance(function, ast.FunctionDef) and "test" in function.name:
            for call in _install_calls(function):
                constants = [a.value for a in call.args if isinstance(a, ast.Constant)]
                found.update(dict.fromkeys(v for v in constants if isinstance(v, str)))
    return tuple(found)


def _install_calls(function: ast.FunctionDef) -> Iterator[ast.Call]:
    for node in ast.walk(function):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "install"
            and len(node.args) > 0
        ):
            yield node


def _extras_of_setup_py(source: str) -> Iterator[str]:
    for node in ast.walk(_parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "extras_require":
            keys = node.value.keys if isinstance(node.value, ast.Dict) else []
            for key in keys:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value


def _parse(source: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _names(folder: Path) -> list[str]:
    try:
        return sorted(p.name for p in folder.iterdir() if p.is_file())
    except OSError:
        return []


def _fits(folder: str, name: str) -> bool:
    """requirements.txt needs no further word; dev.txt counts only inside requirements/."""
    return "requirements" in name or folder == "requirements/"


def _plugins(options: Mapping[str, Any]) -> Iterator[str]:
    raw = options.get("addopts", "")
    for word in strings(raw) if isinstance(raw, list) else str(raw).split():
        option = word.split("=")[0]
        if option in _PLUGINS:
            yield _PLUGINS[option]
        elif option.startswith("--cov"):
            yield "pytest-cov"
    for key in options:
        if key.lower() in _PLUGIN_KEYS:
            yield _PLUGIN_KEYS[key.lower()]


def walk(tree: Path, most: int = 50_000) -> Iterator[str]:
    """Regular files of a tree, relative, hidden folders left out, links not followed."""
    count = 0
    for folder, names, files in os.walk(tree):
        names[:] = sorted(n for n in names if not n.startswith(".") and n != "node_modules")
        for name in sorted(files):
            count += 1
            if count > most:
                return
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(tree).as_posix()
