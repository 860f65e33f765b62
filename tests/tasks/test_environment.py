"""Environments built in real sandboxes, from packages made here."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from evo_agent.core.config import Config, SandboxConfig
from evo_agent.core.errors import EnvironmentBuildError
from evo_agent.core.git import open_repository
from evo_agent.core.types import CommandResult, Outcome
from evo_agent.sandboxes.select import open_sandbox
from evo_agent.sandboxes.workspace import Workspace
from evo_agent.tasks.build_settings import build_settings
from evo_agent.tasks.carried import carry
from evo_agent.tasks.detect import detect
from evo_agent.tasks.environment import Environment, not_rebuilt, prepare
from evo_agent.tasks.interpreter import accepts
from evo_agent.tasks.testing import make_runner
from evo_agent.tasks.virtualenv import existing_venv

CONFIG = Config(sandbox=SandboxConfig(backend="bubblewrap"))

# A package whose build writes a file that its code needs, without anything from an index: the
# build backend stands in the repository (PEP 517, backend-path).
PACKAGE = {
    "pyproject.toml": """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "shape"
version = "1"
""",
    "backend.py": """
import pathlib, zipfile
def _wheel(folder):
    here = pathlib.Path(__file__).parent
    (here / "src/shape/_built.py").write_text("BUILT = True\\n")
    (here / "shown.txt").write_text("not ignored")
    name = "shape-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        wheel.writestr("shape.pth", str(here / "src"))
        wheel.writestr("shape-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: shape\\nVersion: 1\\n")
        wheel.writestr("shape-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("shape-1.dist-info/RECORD", "")
    return name
def build_editable(folder, config_settings=None, metadata_directory=None): return _wheel(folder)
def build_wheel(folder, config_settings=None, metadata_directory=None): return _wheel(folder)
""",
    ".gitignore": "_built.py\n",
    "src/shape/__init__.py": "from shape._built import BUILT\n",
    "tests/test_shape.py": "import shape\ndef test_built(): assert shape.BUILT\n",
}

Maker = Callable[..., Workspace]


@pytest.fixture
def workspace(repo_factory: Callable[..., Path], tmp_path: Path) -> Maker:
    def make(files: dict[str, str]) -> Workspace:
        repository = open_repository(repo_factory((files, "start")))
        return Workspace.create(repository, "HEAD", tmp_path / "workspace")

    return make


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVO_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "cache" / "envs"


def run(environment: Environment, made: Workspace, command: str) -> CommandResult:
    environment.carry_into(made.folder)
    spec = environment.spec(made.folder, CONFIG)
    with open_sandbox(spec, made, "bubblewrap") as sandbox:
        return sandbox.exec(command)


@pytest.mark.bubblewrap
def test_a_package_is_built_once_and_its_generated_files_are_carried(
    workspace: Maker, own_cache: Path
):
    made = workspace(PACKAGE)
    project = detect(made.folder, CONFIG)
    said: list[str] = []
    environment = prepare(project, CONFIG, made, progress=said.append)
    assert len(said) == 1
    assert made.diff() == ""  # the build left nothing in the workspace
    assert sorted(p.name for p in own_cache.iterdir()) == [
        environment.key,
        f"{environment.key}.lock",
    ]

    environment.carry_into(made.folder)
    spec = environment.spec(made.folder, CONFIG)
    with open_sandbox(spec, made, "bubblewrap") as sandbox:
        report = make_runner(project, environment).run(sandbox)
        assert report.outcomes == {"tests/test_shape.py::test_built": Outcome.PASSED}, report.output
        assert sandbox.exec("touch /opt/evo/env/x").exit_code != 0
        assert sandbox.exec("ls shown.txt").exit_code != 0
        assert sandbox.diff() == ""

    again = prepare(project, CONFIG, made, progress=said.append)
    assert (again, len(said)) == (environment, 1)
    other = prepare(replace(project, setup=("true",)), CONFIG, made)
    assert other.key != environment.key


@pytest.mark.bubblewrap
def test_a_failed_build_keeps_its_log_and_nothing_else(workspace: Maker, own_cache: Path):
    config = Config(sandbox=SandboxConfig(backend="bubblewrap", setup=("echo so far", "false")))
    made = workspace({"a.py": ""})
    with pytest.raises(EnvironmentBuildError, match="`false` failed") as error:
        prepare(detect(made.folder, config), config, made)
    (log,) = own_cache.glob("*.failed.log")
    assert str(log) in error.value.cause
    assert "so far" in log.read_text()
    assert not [path for path in own_cache.iterdir() if path.is_dir()]


@pytest.mark.bubblewrap
def test_configured_commands_build_for_any_language(workspace: Maker, own_cache: Path):
    box = SandboxConfig(
        backend="bubblewrap", setup=('mkdir "$VIRTUAL_ENV/bin"; cp tool "$VIRTUAL_ENV/bin/"',), test="tool"
    )  # fmt: skip
    config = Config(sandbox=box)
    made = workspace({"tool": "#!/bin/sh\necho made\n", "main.c": ""})
    environment = prepare(detect(made.folder, config), config, made)
    assert run(environment, made, "sh /opt/evo/env/bin/tool").output == "made\n"
    assert own_cache.is_dir()


def interfaces(listing: str) -> set[str]:
    return {line.split(":")[0].strip() for line in listing.splitlines() if ":" in line}


@pytest.mark.bubblewrap
def test_builds_have_a_network_and_runs_do_not(
    workspace: Maker, own_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://user:secret@index.example/simple")
    record = 'cat /proc/net/dev > "$VIRTUAL_ENV/net"; env > "$VIRTUAL_ENV/variables"'
    config = Config(sandbox=SandboxConfig(backend="bubblewrap", setup=(record,), test="true"))
    made = workspace({"main.c": ""})
    environment = prepare(detect(made.folder, config), config, made)
    built = own_cache / environment.key / "env"
    assert "user:secret" in (built / "variables").read_text()
    assert interfaces((built / "net").read_text()) == interfaces(Path("/proc/net/dev").read_text())
    ran = run(environment, made, "env")
    assert interfaces(run(environment, made, "cat /proc/net/dev").output) <= {"lo"}
    assert "secret" not in ran.output
    assert "PIP_" not in ran.output


@pytest.mark.bubblewrap
def test_a_python_that_is_too_old_is_said(workspace: Maker, own_cache: Path):
    made = workspace(
        {
            "pyproject.toml": '[project]\nname = "x"\nrequires-python = ">=4"\ndependencies = ["six"]\n'
        }
    )
    with pytest.raises(EnvironmentBuildError, match="requires Python >=4") as error:
        prepare(detect(made.folder, CONFIG), CONFIG, made)
    assert "sandbox.image" in error.value.remedy
    assert not own_cache.exists()


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with a stand-in for pytest and an editable installation."""
    checkout = tmp_path_factory.mktemp("checkout")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout / ".venv"], check=True)
    (packages,) = (checkout / ".venv").glob("lib/python3.*/site-packages")
    (packages / "pytest").mkdir()
    (packages / "pytest" / "__init__.py").write_text("WHERE = __file__\n")
    (packages / "__editable__.shape.pth").write_text(f"{checkout}/src\n/elsewhere\n")
    (packages / "__editable___flat_1_finder.py").write_text(
        f"MAPPING: dict[str, str] = {{'flat': '{checkout}/flat'}}\n"
    )
    return checkout


@pytest.mark.bubblewrap
def test_the_checkouts_own_environment_is_used_with_the_workspaces_code(
    workspace: Maker, venv: Path
):
    made = workspace(
        {"src/shape.py": "X = 1\n", "flat/__init__.py": "", "requirements.txt": "six\n"}
    )
    environment = prepare(detect(made.folder, CONFIG), CONFIG, made, checkout=venv)
    assert environment.python == f"{venv}/.venv/bin/python"
    code = "import pytest, shape, flat; print(pytest.WHERE, shape.__file__, flat.__file__)"
    done = run(environment, made, f"{environment.python} -P -c '{code}'")
    assert done.output.split()[1:] == ["/testbed/src/shape.py", "/testbed/flat/__init__.py"]
    assert done.output.startswith(f"{venv}/.venv/lib")
    assert run(environment, made, f"touch {venv}/.venv/x").exit_code != 0


def test_a_committed_or_forged_environment_is_not_used(venv: Path, tmp_path: Path):
    (tmp_path / "tree").mkdir()
    assert existing_venv(venv, tmp_path / "tree") is not None
    (tmp_path / "tree" / ".venv").mkdir()
    assert existing_venv(venv, tmp_path / "tree") is None

    forged = tmp_path / "forged"
    (forged / ".venv" / "bin").mkdir(parents=True)
    (forged / ".venv" / "pyvenv.cfg").touch()
    (forged / ".venv" / "lib" / "python3.11" / "site-packages" / "pytest").mkdir(parents=True)
    home = tmp_path / "private"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python3.11").touch()
    (forged / ".venv" / "bin" / "python").symlink_to(home / "bin" / "python3.11")
    assert existing_venv(forged, tmp_path) is None

    standard = forged / "lib" / "python3.11" / "os.py"  # the checkout itself as the prefix
    (forged / "bin").mkdir()
    (forged / "bin" / "python3.11").touch()
    standard.parent.mkdir(parents=True)
    standard.touch()
    (forged / ".venv" / "bin" / "python").unlink()
    (forged / ".venv" / "bin" / "python").symlink_to(forged / "bin" / "python3.11")
    assert existing_venv(forged, tmp_path) is None

    (packages,) = (venv / ".venv").glob("lib/python3.*/site-packages")
    os.mkfifo(packages / "pipe.pth")
    (tmp_path / "plain").mkdir()
    found = existing_venv(venv, tmp_path / "plain")
    assert found is not None
    assert found.python_path == ("/testbed/src", "/testbed")


@pytest.mark.parametrize(
    ("requires", "version", "met"),
    [
        ("", (3, 11, 2), True),
        (">=3.8,<4", (3, 11, 2), True),
        (">=3.12", (3, 11, 2), False),
        (">=3.7,!=3.11.*", (3, 11, 2), False),
        (">=3.7,!=3.11.1", (3, 11, 2), True),
        ("<3.11", (3, 11, 2), False),
        ("<3.11.9", (3, 11, 2), True),
        ("~=3.9", (3, 11, 2), True),
        ("==3.*", (3, 11, 2), True),
        ("==3.10.*", (3, 11, 2), False),
        ("whatever", (3, 11, 2), True),
    ],
)
def test_required_versions(requires: str, version: tuple[int, ...], *, met: bool):
    assert accepts(requires, version) is met


def test_settings_for_builds_name_indexes_and_their_folders_but_no_host_paths(tmp_path: Path):
    (tmp_path / "simple").mkdir()
    (tmp_path / "pip.conf").write_text(
        f"[global]\nextra-index-url = file://{tmp_path}/simple\ncert = /host/ca.pem\n"
    )
    settings = build_settings(
        {
            "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
            "PIP_DEFAULT_TIMEOUT": "7",
            "PIP_CACHE_DIR": "/host/cache",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }
    )
    assert settings.env["PIP_EXTRA_INDEX_URL"] == f"file://{tmp_path}/simple"
    assert settings.env["PIP_DEFAULT_TIMEOUT"] == "7"
    assert not any(word in str(settings.env) for word in ("/host/", "secret"))
    assert [mount.source for mount in settings.mounts if mount.source == tmp_path] == [tmp_path]
    assert not any(mount.writable for mount in settings.mounts)


def test_carried_files_do_not_follow_links_or_replace(tmp_path: Path):
    kept, tree, outside = tmp_path / "kept", tmp_path / "tree", tmp_path / "outside"
    for folder in (kept / "pkg", kept / "linked", tree, outside):
        folder.mkdir(parents=True)
    (kept / "pkg" / "_version.py").write_text("generated\n")
    (kept / "linked" / "evil.py").write_text("generated\n")
    (kept / "mine.py").write_text("generated\n")
    (kept / "secret").symlink_to("/etc/passwd")
    (tree / "mine.py").write_text("mine\n")
    (tree / "linked").symlink_to(outside)
    carry(kept, tree)
    assert (tree / "pkg" / "_version.py").read_text() == "generated\n"
    assert (tree / "mine.py").read_text() == "mine\n"
    assert not (tree / "secret").exists()
    assert not list(outside.iterdir())


def test_a_change_of_compiled_sources_cannot_be_judged(tmp_path: Path):
    (tmp_path / "fast").mkdir()
    environment = Environment("key", carried=tmp_path)
    changed = ("fast/sum.pyx", "fast/sum.py")
    assert not_rebuilt(environment, changed) == ()
    (tmp_path / "fast" / "sum.cpython-311-x86_64-linux-gnu.so").touch()
    (line,) = not_rebuilt(environment, changed)
    assert line.startswith("fast/sum.pyx: ")
