"""Finds out how a repository is set up and tested. Reads files only; runs nothing."""

import re
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path

from evo_agent.core.config import Config
from evo_agent.core.errors import ConfigError, EnvironmentBuildError
from evo_agent.tasks import manifests
from evo_agent.tasks.manifests import table, toml

_PACKAGING = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "uv.lock",
    "poetry.lock",
    "Pipfile",
    "tox.ini",
    "noxfile.py",
    "MANIFEST.in",
)
COMPILED = (".c", ".cc", ".cpp", ".h", ".hpp", ".pyx", ".pxd", ".rs", ".f90")
_PYTEST = re.compile(r"pytest(?![\w-])")
_SETUP_REMEDY = "name the commands that install it in sandbox.setup"


@dataclass(frozen=True, slots=True)
class Project:
    """How a repository is set up and tested.

    Attributes:
        language: "python" or "other".
        runner: "pytest" or "command" (sandbox.test).
        setup: commands that fill the environment, in order, run at the workspace's root with
            the environment first on PATH. Empty: nothing needs installing but pytest.
        why: one line that says where this comes from.
        inputs: files of the tree that the environment depends on, relative, sorted.
        editable: whether the project itself is installed (in place).
        notes: what was left out or taken only in part, a line each.
        test: commands of the configuration, for the command runner.
        test_one: likewise.
        report: likewise.
    """

    language: str
    runner: str
    setup: tuple[str, ...]
    why: str
    inputs: tuple[str, ...] = ()
    editable: bool = False
    notes: tuple[str, ...] = ()
    test: str = ""
    test_one: str = ""
    report: str = ""


@dataclass(slots=True)
class _Plan:
    """What pip is asked for, collected from every file that says something."""

    arguments: dict[str, None] = field(default_factory=dict)
    inputs: set[str] = field(default_factory=set)
    sources: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    editable: bool = False

    def take(self, source: str, arguments: tuple[str, ...]) -> None:
        if arguments:
            self.sources.append(source)
            self.arguments.update(dict.fromkeys(arguments))


def detect(tree: Path, config: Config) -> Project:
    """Look at a tree.

    Args:
        tree: a checkout; its files are read as hostile input.
        config: sandbox.setup, sandbox.test, sandbox.test_one and sandbox.report come first.

    Raises:
        ConfigError: it is no Python project and no test command is configured.
        EnvironmentBuildError: it can only be set up in a way that is not supported (conda).
    """
    box = config.sandbox
    runner = "command" if box.test else "pytest"
    python = _is_python(tree)
    if not python and not box.test:
        raise ConfigError(
            "no Python project is here, so how to run its tests is not known",
            'name the command in evo.toml: [sandbox] test = "..."',
        )
    language = "python" if python else "other"
    if box.setup or not python:
        why = "sandbox.setup" if box.setup else "no set-up configured"
        inputs = _present(tree, _PACKAGING) if box.setup else ()
        return _with_commands(Project(language, runner, box.setup, why, inputs), config)
    plan = _plan(tree)
    why = ", ".join(plan.sources) or "no packaging: pytest alone"
    project = Project(
        language=language,
        runner=runner,
        setup=_commands(tree, plan),
        why=why,
        inputs=tuple(sorted(plan.inputs)),
        editable=plan.editable,
        notes=tuple(plan.notes),
    )
    return _with_commands(project, config)


def _with_commands(project: Project, config: Config) -> Project:
    box = config.sandbox
    return replace(project, test=box.test, test_one=box.test_one, report=box.report)


def _is_python(tree: Path) -> bool:
    if _present(tree, ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "Pipfile")):
        return True
    return any(_some(tree, (".py",), 1))


def _plan(tree: Path) -> _Plan:
    plan = _Plan(inputs=set(_present(tree, _PACKAGING)))
    _take_package(tree, plan)
    _take_requirements(tree, plan)
    _take_tools(tree, plan)
    if not plan.sources:
        _refuse_conda(tree)
    elif _present(tree, ("environment.yml", "environment.yaml")):
        plan.notes.append("environment.yml (conda) is not read")
    return plan


def _take_package(tree: Path, plan: _Plan) -> None:
    project = toml(tree, "pyproject.toml")
    names = tuple(dict.fromkeys(manifests.extras(tree) + manifests.tox_dependencies(tree)[1]))
    built = "build-system" in project or _present(tree, ("setup.py",)) or _setup_cfg(tree)
    if built:
        plan.editable = True
        suffix = f"[{','.join(names)}]" if names else ""
        declared = next(
            n for n in ("pyproject.toml", "setup.py", "setup.cfg") if manifests.exists(tree, n)
        )
        plan.take(f"{declared}{suffix}", (f"-e .{suffix}",))
        plan.inputs.update(_some(tree, COMPILED, 2000))
    else:  # as uv does: without a build system it is not a package, but has dependencies
        optional = table(project, "project", "optional-dependencies")
        found = manifests.strings(table(project, "project").get("dependencies"))
        for name in names:
            found += manifests.strings(optional.get(name))
        plan.take("pyproject.toml", found)
    groups = manifests.group_requirements(table(project, "dependency-groups"))
    plan.take("dependency-groups", groups)
    _take_poetry(project, plan)


def _take_poetry(project: object, plan: _Plan) -> None:
    poetry = table(project, "tool", "poetry")
    groups = table(poetry, "group")
    names = [n for g in manifests.wanted(groups) for n in table(groups, g, "dependencies")]
    names += list(table(poetry, "dev-dependencies"))
    if names:
        plan.take("poetry's groups", tuple(n for n in names if n != "python"))
        plan.notes.append("poetry's groups are installed by name; their versions are not read")


def _take_requirements(tree: Path, plan: _Plan) -> None:
    files = manifests.requirement_files(tree)
    for name in files:
        plan.take(name, (f"-r{name}",))
        plan.inputs.update(
            n for n in manifests.included_files(tree, name) if manifests.exists(tree, n)
        )
    pipfile = toml(tree, "Pipfile")
    found = tuple(
        name + version
        for part in ("packages", "dev-packages")
        for name, spec in table(pipfile, part).items()
        if (version := _pipfile_version(spec)) is not None
    )
    plan.take("Pipfile", found)


def _take_tools(tree: Path, plan: _Plan) -> None:
    dependencies, _, commands = manifests.tox_dependencies(tree)
    plan.take("tox.ini", dependencies)
    if commands and not any("pytest" in c or "py.test" in c for c in commands):
        plan.notes.append(f"tox runs `{commands[0]}`; pytest is run instead (see sandbox.test)")
    installs = manifests.nox_installs(tree)
    if installs:
        names = tuple(name for name in installs if not name.startswith(("-", ".")))
        plan.take("noxfile.py", names)
        plan.notes.append("of noxfile.py only names in session.install(...) are taken")
    plan.take("pytest's configuration", manifests.pytest_plugins(tree))


def _commands(tree: Path, plan: _Plan) -> tuple[str, ...]:
    if not plan.arguments:
        return ()
    pip = "python -m pip install --disable-pip-version-check"
    if manifests.exists(tree, "uv.lock") and table(toml(tree, "pyproject.toml"), "project"):
        return _uv_commands(tree, pip)
    # PEP 517 for setup.py too: `setup.py develop` would need its egg-info in every workspace.
    flags = " --use-pep517" if plan.editable else ""
    quoted = " ".join(_quoted(argument) for argument in plan.arguments)
    needs_pytest = "" if any(_PYTEST.match(a) for a in plan.arguments) else " pytest"
    return (f"{pip}{flags} {quoted}{needs_pytest}",)


def _uv_commands(tree: Path, pip: str) -> tuple[str, ...]:
    groups = table(toml(tree, "pyproject.toml"), "dependency-groups")
    options = [f"--extra {shlex.quote(name)}" for name in manifests.extras(tree)]
    options += [f"--group {shlex.quote(name)}" for name in manifests.wanted(groups)]
    sync = " ".join(["uv sync --frozen --inexact", *options])
    plugins = " ".join(manifests.pytest_plugins(tree))
    return (
        f"{pip} uv",
        f'UV_PROJECT_ENVIRONMENT="$VIRTUAL_ENV" UV_PYTHON="$VIRTUAL_ENV/bin/python" {sync}',
        f"python -c 'import pytest' || {pip} pytest {plugins}".rstrip(),
    )


def _quoted(argument: str) -> str:
    """A line of a requirements file as words of a shell command."""
    words = argument.split() if argument.startswith("-") else [argument]
    return " ".join(map(shlex.quote, words))


def _pipfile_version(spec: object) -> str | None:
    """Version part of a Pipfile entry; None for what pip cannot be told in one word."""
    version = spec.get("version") if isinstance(spec, dict) else spec
    if not isinstance(version, str):
        return None
    return "" if version == "*" else version


def _setup_cfg(tree: Path) -> bool:
    return manifests.ini(tree, "setup.cfg").has_section("metadata")


def _refuse_conda(tree: Path) -> None:
    for name in ("environment.yml", "environment.yaml"):
        if manifests.exists(tree, name):
            raise EnvironmentBuildError(
                f"{name}: conda environments are not supported", _SETUP_REMEDY
            )


def _present(tree: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if manifests.exists(tree, name))


def _some(tree: Path, suffixes: tuple[str, ...], most: int) -> tuple[str, ...]:
    """The first few files of the tree with one of these endings; links are not followed."""
    found: list[str] = []
    for path in manifests.walk(tree):
        if path.endswith(suffixes):
            found.append(path)
            if len(found) >= most:
                break
    return tuple(found)
