"""The documents cannot drift: every command in them is held against the program."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from evo_agent.core.types import Grade
from evo_agent.tasks.wording import MEANINGS

ROOT = Path(__file__).parent.parent
EVO = Path(sys.executable).parent / "evo"
DOCUMENTS = ("README.md", "CONTRIBUTING.md")


def _typed(document: str) -> list[str]:
    """Commands of a document's console blocks."""
    text = (ROOT / document).read_text("utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


EVO_COMMANDS = [
    command for document in DOCUMENTS for command in _typed(document) if command.startswith("evo ")
]


def _help(*path: str) -> str:
    done = subprocess.run(
        [EVO, *path, "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, f"evo {' '.join(path)} --help: {done.stderr}"
    return done.stdout


def _subcommand(words: list[str]) -> list[str]:
    """The leading words that name a command: `runs list`, `fix`."""
    deep = words[0] in ("memory", "runs", "skills")
    return words[:2] if deep else words[:1]


@pytest.mark.parametrize("command", EVO_COMMANDS)
def test_every_command_of_the_documents_exists_with_its_options(command: str):
    words = shlex.split(command)[1:]
    shown = _help(*_subcommand(words))
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"^\s+{option}\b", shown, re.MULTILINE), f"{option} is not in the help"


def test_the_readme_shows_every_command():
    shown = _help()
    commands = re.findall(r"^  (\w+) ", shown.split("Commands:")[1], re.MULTILINE)
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(commands) >= 8
    for name in commands:
        assert re.search(rf"\bevo {name}\b", readme), f"evo {name} is not in the README"


def test_inline_options_of_the_readme_exist():
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = _help("fix") + _help()
    for option in set(re.findall(r"`(--[a-z-]+)", readme)):
        if option != "--plan":
            assert option in shown, option


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_is_named_exists(document: str):
    text = (ROOT / document).read_text("utf-8")
    named = re.findall(r"`((?:scripts|bench|cli|tasks|core|memory|sandboxes|\.ci)/[\w./]*)", text)
    assert named
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_the_readme_explains_every_grade():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert set(MEANINGS) == set(Grade)
    for grade in Grade:
        assert f"| `{grade}` |" in readme


def test_every_dependency_has_its_reason():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"]]
    for extra, packages in project["optional-dependencies"].items():
        if extra not in ("fix", "all"):
            wanted += packages
    reasons = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for requirement in wanted:
        name = re.split(r"[\[<>=!~ ]", requirement, maxsplit=1)[0]
        assert f"| {name} |" in reasons, f"{name} stands in pyproject.toml without a reason"


def test_the_changelog_has_a_place_for_what_comes():
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
