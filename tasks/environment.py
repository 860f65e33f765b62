"""Builds a project's environment once, inside a sandbox with a network, for runs without one.

An environment is a virtual environment made at ENVIRONMENT_ROOT in a writable mount, kept in
the cache under the hash of what it was built from, and mounted read-only in runs. Building runs
the project's own set-up code, so it happens in a copy of the workspace, in a sandbox; what that
leaves in the tree (compiled extensions, version files) is kept apart and laid into each
workspace by `carry_into`, ignored files only, so that it never shows in a diff.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from evo_agent.core.config import Config, cache_folder
from evo_agent.core.confinement import Mount, SandboxLimits, SandboxSpec
from evo_agent.core.types import ENVIRONMENT_ROOT
from evo_agent.tasks import manifests
from evo_agent.tasks.building import Build, is_built, locked
from evo_agent.tasks.carried import carry
from evo_agent.tasks.detect import COMPILED, Project
from evo_agent.tasks.interpreter import Interpreter, find_interpreter
from evo_agent.tasks.virtualenv import ExistingVenv, existing_venv

if TYPE_CHECKING:
    from evo_agent.sandboxes.workspace import Workspace

RECIPE = 1  # goes into every key; raised when this module builds differently

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Environment:
    """What runs of a project's code need beside the workspace.

    Attributes:
        key: names what it was built from; equal keys are equal environments.
        python: the interpreter inside, as a command.
        mounts: read-only.
        env: variables for every command.
        image: the docker image, where one was chosen.
        carried: folder of generated files to lay into each workspace, if there are any.
        log: the build's log, where something was built.
        notes: what was left out, a line each.
    """

    key: str
    python: str = "python3"
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    carried: Path | None = None
    log: Path | None = None
    notes: tuple[str, ...] = ()

    def spec(self, workspace: Path, config: Config, **env: str) -> SandboxSpec:
        """A sandbox for a workspace: no network, the configured limits, `env` on top."""
        return SandboxSpec(
            workspace=workspace,
            mounts=self.mounts,
            env={**self.env, **config.sandbox.env, **env},
            image=self.image,
            limits=SandboxLimits(
                memory_mb=config.sandbox.memory_mb,
                cpus=config.sandbox.cpus,
                processes=config.sandbox.processes,
            ),
        )

    def carry_into(self, tree: Path) -> None:
        """Lay generated files into a workspace; what the tree already has is left alone."""
        if self.carried is not None:
            carry(self.carried, tree)


def prepare(
    project: Project,
    config: Config,
    workspace: "Workspace",
    *,
    image: str | None = None,
    checkout: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Environment:
    """Give the environment of a project: found in the cache, adopted, or built now.

    Args:
        project: what `detect` found.
        config: sandbox.backend and limits.
        workspace: the tree at base; only copied.
        image: docker image for builds and runs.
        checkout: the user's own checkout; its .venv is used where the sandbox can show it.
        progress: called with one line, for people.

    Raises:
        EnvironmentBuildError: a set-up command failed; the log's path is named.
        SandboxError: no sandbox could be started.
    """
    if project.language != "python" and not project.setup:
        return Environment("none", image=image, env=_base_env(_SYSTEM_PATH))
    interpreter = find_interpreter(config, workspace.folder, image)
    if checkout is not None and interpreter.shares_host and not config.sandbox.setup:
        adopted = existing_venv(checkout, workspace.folder)
        if adopted is not None:
            return _adopted(adopted, project)
    if not project.setup and (interpreter.has_pytest or project.runner == "command"):
        return _bare(interpreter, image)
    key = _key(project, interpreter, workspace.folder, image)
    folder = cache_folder() / "envs" / key
    with locked(folder):
        if not is_built(folder):
            progress(f"building the environment ({project.why})")
            Build(project, config, workspace, interpreter, image, folder).run()
    return _built(folder, interpreter, image, project)


def not_rebuilt(environment: Environment, changed: Sequence[str]) -> tuple[str, ...]:
    """One line for each changed source of a compiled module, which runs would not see.

    Environments are built from base and kept; a patch does not build another.
    """
    if environment.carried is None or not any(environment.carried.rglob("*.so")):
        return ()
    return tuple(
        f"{path}: compiled sources are built from base only, so a change cannot be judged"
        for path in changed
        if path.endswith(COMPILED)
    )


def _base_env(path: str) -> dict[str, str]:
    # The hash seed is fixed so that a report is the same twice; the verifier varies it from
    # one repeat to the next.
    return {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}


def _venv_env() -> dict[str, str]:
    path = f"{ENVIRONMENT_ROOT}/bin:{_SYSTEM_PATH}"
    return {**_base_env(path), "VIRTUAL_ENV": ENVIRONMENT_ROOT}


def _bare(interpreter: Interpreter, image: str | None) -> Environment:
    """Nothing needs installing: the interpreter as it is."""
    return Environment(
        "none", interpreter.command, interpreter.mounts, _base_env(_SYSTEM_PATH), image
    )


def _adopted(venv: ExistingVenv, project: Project) -> Environment:
    env = _base_env(f"{venv.folder}/bin:{_SYSTEM_PATH}") | {"VIRTUAL_ENV": str(venv.folder)}
    if venv.python_path:
        env["PYTHONPATH"] = ":".join(venv.python_path)
    notes = (f"uses the checkout's own {venv.folder.name}", *project.notes)
    return Environment(f"venv:{venv.folder}", venv.python, venv.mounts, env, notes=notes)


def _built(
    folder: Path, interpreter: Interpreter, image: str | None, project: Project
) -> Environment:
    carried = folder / "carried"
    return Environment(
        key=folder.name,
        python=f"{ENVIRONMENT_ROOT}/bin/python",
        mounts=(Mount(folder / "env", ENVIRONMENT_ROOT), *interpreter.mounts),
        env=_venv_env(),
        image=image,
        carried=carried if carried.is_dir() else None,
        log=folder / "build.log",
        notes=project.notes,
    )


def _key(project: Project, interpreter: Interpreter, tree: Path, image: str | None) -> str:
    """Hash of everything a build depends on, except what the package index answers today."""
    digest = hashlib.sha256()
    facts = [RECIPE, project.setup, interpreter.identity, image]
    digest.update(json.dumps(facts).encode())
    for name in project.inputs:
        if manifests.exists(tree, name):
            content = (tree / name).read_bytes()
            digest.update(json.dumps([name, len(content)]).encode() + content)
    return digest.hexdigest()[:24]
