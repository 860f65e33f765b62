"""Which Python an environment is built with, inside the sandbox that will run it."""

import json
import re
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from evo_agent.core.config import Config
from evo_agent.core.confinement import Mount, SandboxSpec
from evo_agent.core.errors import EnvironmentBuildError
from evo_agent.sandboxes.select import open_sandbox
from evo_agent.tasks import manifests

HOST_BACKENDS = ("bubblewrap", "local")  # their programs are the host's own

_PROBE = """
import importlib.util as u, json, sys
print(json.dumps({
    "version": list(sys.version_info[:3]),
    "ensurepip": u.find_spec("ensurepip") is not None,
    "pytest": u.find_spec("pytest") is not None,
}))
"""
_BOUND = re.compile(r"\s*(>=|<=|==|!=|~=|<|>)\s*(\d+)(?:\.(\d+))?(\.\*)?")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python inside a sandbox.

    Attributes:
        command: how it is called there.
        version: (major, minor, micro).
        identity: backend, version and place, for the environment's key.
        mounts: what must be mounted for it to be there.
        has_pytest: whether it can import pytest as it is.
        has_ensurepip: whether `python -m venv` brings pip.
        shares_host: whether host paths can simply be mounted beside it.
    """

    command: str
    version: tuple[int, int, int]
    identity: str
    mounts: tuple[Mount, ...] = ()
    has_pytest: bool = False
    has_ensurepip: bool = True
    shares_host: bool = False


def find_interpreter(config: Config, tree: Path, image: str | None = None) -> Interpreter:
    """The sandbox's own python3, or, where it shares the host's programs, evo's interpreter.

    Raises:
        EnvironmentBuildError: there is no Python, or none that the project accepts.
        SandboxError: no sandbox could be started.
    """
    requires = required_python(tree)
    seen: list[str] = []
    for found in _candidates(config, image):
        seen.append(".".join(map(str, found.version)))
        if accepts(requires, found.version):
            return found
    if not seen:
        raise EnvironmentBuildError(
            "there is no python3 in the sandbox", "install one, or name an image in sandbox.image"
        )
    raise EnvironmentBuildError(
        f"the project requires Python {requires}; the sandbox has {', '.join(seen)}",
        "name an image that has it in sandbox.image, or set it up in sandbox.setup",
    )


def required_python(tree: Path) -> str:
    """The project's requires-python, as written; empty when it says nothing."""
    project = manifests.table(manifests.toml(tree, "pyproject.toml"), "project")
    declared = project.get("requires-python", "")
    if isinstance(declared, str) and declared:
        return declared
    setup_cfg = manifests.ini(tree, "setup.cfg")
    return setup_cfg.get("options", "python_requires", fallback="")


def accepts(requires: str, version: tuple[int, ...]) -> bool:
    """Whether a version meets a specifier, as far as major and minor go.

    Micro versions are not compared, and what is not understood is taken as met: pip checks
    again, with the whole of PEP 440.
    """
    for clause in requires.split(","):
        match = _BOUND.match(clause)
        if match is None:
            continue
        operator, major, minor = match[1], int(match[2]), int(match[3] or 0)
        have, bound = version[:2], (major, minor)
        precise = clause.count(".") > 1 and match[4] is None
        met = {
            ">=": have >= bound,
            ">": have > bound or (precise and have == bound),
            "<=": have <= bound,
            "<": have < bound or (precise and have == bound),
            "==": have == bound or (match[3] is None and have[0] == major),
            "!=": have != bound or precise,
            "~=": have >= bound and have[0] == major,
        }[operator]
        if not met:
            return False
    return True


def _candidates(config: Config, image: str | None) -> list[Interpreter]:
    with tempfile.TemporaryDirectory(prefix="evo-probe-") as empty:
        first = _probe(config, image, Path(empty), "python3", ())
        found = [first[0]] if first[0] else []
        if first[1] not in HOST_BACKENDS:
            return found
        prefix = Path(sys.base_prefix).resolve()
        mounts = () if prefix.is_relative_to("/usr") else (Mount(prefix, str(prefix)),)
        python = f"{prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
        own = _probe(config, image, Path(empty), python, mounts)[0]
        found += [own] if own else []
    return sorted(found, key=lambda python: not python.has_ensurepip)


def _probe(
    config: Config, image: str | None, empty: Path, python: str, mounts: tuple[Mount, ...]
) -> tuple[Interpreter | None, str]:
    """Ask one Python about itself; also the backend that answered."""
    spec = SandboxSpec(workspace=empty, mounts=mounts, image=image)
    with open_sandbox(spec, None, config.sandbox.backend) as sandbox:
        done = sandbox.exec(f"{shlex.quote(python)} -I -c {shlex.quote(_PROBE)}")
        name = sandbox.name
    try:
        facts = json.loads(done.output.strip().splitlines()[-1])
        version = tuple(int(part) for part in facts["version"])
    except (ValueError, LookupError, TypeError):
        return None, name
    major, minor, micro = version
    place = "host" if name in HOST_BACKENDS else name
    return Interpreter(
        command=python,
        version=(major, minor, micro),
        identity=f"{place} {image or ''} {python} {major}.{minor}.{micro}",
        mounts=mounts,
        has_pytest=bool(facts["pytest"]),
        has_ensurepip=bool(facts["ensurepip"]),
        shares_host=name in HOST_BACKENDS,
    ), name
