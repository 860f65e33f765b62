"""The package as built: wheel from sdist, with everything inside and nothing beside it."""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "evo_agent"
ROOMS = ("cli", "core", "memory", "sandboxes", "tasks")
MALICIOUS = ("1.82.7", "1.82.8")
WITHOUT_TOOL_CALLS = ("1.106.0", "1.106.2")  # they want mcp, and do not require it


def hatch(source: Path, target: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return next(folder.iterdir())


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hatch(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    unpacked = tmp_path_factory.mktemp("unpacked")
    # Debian 12's Python has no extraction filters yet, and newer ones warn when none is named.
    subprocess.run(["tar", "-xzf", str(sdist), "-C", str(unpacked)], check=True)
    built = hatch(next(unpacked.iterdir()), "wheel", tmp_path_factory.mktemp("wheel"))
    with zipfile.ZipFile(built) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def sources() -> dict[str, bytes]:
    """Every file of the five folders, by its name in the wheel."""
    return {
        f"evo_agent/{path.relative_to(ROOT)}": path.read_bytes()
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_built_from_the_sdist_holds_every_file_of_the_five_folders(
    wheel: zipfile.ZipFile,
) -> None:
    present = set(wheel.namelist())
    expected = sources()
    assert not expected.keys() - present
    assert all(wheel.read(name) == content for name, content in expected.items())
    assert {f"evo_agent/{path.name}" for path in PACKAGE.iterdir() if path.is_file()} <= present
    assert "evo_agent/py.typed" in present


def test_wheel_holds_the_templates(wheel: zipfile.ZipFile) -> None:
    """Prompts and report pages are read with importlib.resources: they must travel."""
    kinds = {Path(name).suffix for name in wheel.namelist()} - {"", ".py", ".typed"}
    assert {".md", ".html"} <= kinds


def test_wheel_puts_nothing_beside_its_package(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"evo_agent"}


def test_sdist_holds_what_a_wheel_needs_and_no_tests(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2].split("/")[0] for name in archive.getnames()} - {""}
    assert {*ROOMS, "src", "pyproject.toml", "README.md", "LICENSE"} <= names
    assert not names & {"tests", "bench", "scripts", ".ci"}


def test_metadata_states_python_licence_and_command(
    wheel: zipfile.ZipFile, metadata: Message
) -> None:
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert str(wheel.filename).endswith("-py3-none-any.whl")
    entry = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert b"evo = evo_agent.cli.main:main" in wheel.read(entry)


def test_litellm_releases_that_must_not_be_installed_are_out_of_range(metadata: Message) -> None:
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    ranges = [wanted.specifier for wanted in requirements if wanted.name == "litellm"]
    assert ranges
    for allowed in ranges:
        assert allowed.contains("1.105.0")
        assert not any(allowed.contains(bad) for bad in (*MALICIOUS, *WITHOUT_TOOL_CALLS))


def test_base_install_stays_light(metadata: Message) -> None:
    """What `--help` and the journal need, and nothing else."""
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    assert {wanted.name for wanted in requirements if wanted.marker is None} == {
        "gitpython",
        "rich",
        "typer",
    }
