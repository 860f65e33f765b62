"""The set-up script on machines that lack things; the full runs are CI's."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = [*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run"]
BASICS = ("bash", "cat", "cut", "dirname", "grep", "id", "sha256sum", "timeout", "tr")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Lay out a checkout with the set-up script, and a bin/ that is all of its PATH."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup.sh", tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "bin").mkdir()
    for name in BASICS:
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    return tmp_path


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def with_python(bare: Path) -> Path:
    executable(bare / "bin" / "python3", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    return bare


def set_up(bare: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it without privileges: as root, in a user namespace that makes nobody of us."""
    drop = [str(shutil.which("unshare")), "--user"] if os.getuid() == 0 else []
    if drop and subprocess.run([*drop, "true"], capture_output=True, check=False).returncode:
        pytest.skip("root without the right to make a user namespace")
    return subprocess.run(
        [*drop, str(shutil.which("bash")), str(bare / "scripts" / "setup.sh"), *arguments],
        env={"PATH": str(bare / "bin"), "HOME": str(bare / "home"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def installed_already(bare: Path) -> Path:
    """Leave the traces of a finished pip install for the tests' profile."""
    executable(bare / ".venv" / "bin" / "evo", "#!/bin/sh\n")
    executable(bare / ".venv" / "bin" / "python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    version = subprocess.run([sys.executable, "-VV"], capture_output=True, check=True).stdout
    digest = hashlib.sha256((bare / "pyproject.toml").read_bytes() + version).hexdigest()
    (bare / ".venv" / ".evo-setup").write_text(f"test {digest}\n")
    return bare


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse_and_can_be_executed(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text()


def test_plan_names_what_is_missing_and_changes_nothing(bare: Path) -> None:
    before = sorted(with_python(bare).rglob("*"))
    done = set_up(bare, "test", "--plan")
    assert done.returncode == 0, done.stderr
    assert "missing system packages:" in done.stdout
    for package in ("git", "bubblewrap", "debootstrap", "docker.io"):
        assert package in done.stdout
    assert "missing in .venv: -e .[all] --group dev" in done.stdout
    assert sorted(bare.rglob("*")) == before


def test_old_python_is_refused_with_a_remedy(bare: Path) -> None:
    executable(bare / "bin" / "python3", "#!/bin/sh\nexit 1\n")
    done = set_up(bare, "demo")
    assert done.returncode == 1
    assert "no Python 3.11 or newer was found" in done.stderr
    assert "EVO_PYTHON=" in done.stderr
    assert not (bare / ".venv").exists()


def test_without_privileges_prints_commands_and_goes_on(bare: Path) -> None:
    done = set_up(installed_already(with_python(bare)), "test")
    assert done.returncode == 0, done.stderr
    assert "bubblewrap: not installed" in done.stdout
    assert "container engine: none answers" in done.stdout
    assert "Python packages in .venv: all here" in done.stdout
    assert done.stdout.endswith("setup: ready, without the above\n")


def test_podman_that_serves_no_socket_is_no_engine(bare: Path) -> None:
    """Its command works alone, but evo talks to an engine's socket; the tests want Docker's."""
    executable(bare / "bin" / "podman", "#!/bin/sh\nexit 0\n")
    for profile in ("demo", "test"):
        done = set_up(installed_already(with_python(bare)), profile)
        assert "container engine: none answers" in done.stdout, done.stdout


def test_required_pieces_that_are_missing_are_a_failure(bare: Path) -> None:
    done = set_up(installed_already(with_python(bare)), "test", EVO_REQUIRE="all")
    assert done.returncode == 1
    assert "EVO_REQUIRE=all" in done.stderr


def test_smoke_test_refuses_the_checkout() -> None:
    """Else it would prove the development environment, not the wheel."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "wheel_smoke.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "comes from the checkout" in done.stderr
