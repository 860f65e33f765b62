"""evo.toml as `evo init` writes it."""

import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.config import Config, load_config
from evo_agent.core.errors import EvoError
from evo_agent.tasks.init import write_config

THEIRS_NOT = {("model", "name"), ("model", "api_base"), ("memory", "path")} | {
    ("memory", key) for key in ("quarantine", "merge_cosine", "cap", "idle_days")
}


def test_what_is_written_parses_and_changes_nothing(repo_factory: Any):
    repo = repo_factory(({"requirements.txt": "pytest\n", "test_a.py": "def test(): pass\n"}, "a"))
    written = write_config(repo, Config())
    assert load_config(repo, environ={}) == Config()
    assert any("requirements.txt" in line for line in written.why)
    assert "# found: " in written.path.read_text()


def test_every_key_is_explained_with_its_default(tmp_path: Path):
    template = (resources.files("evo_agent.tasks") / "init_template.toml").read_text()
    uncommented = re.sub(r"(?m)^# (\w+ = )", r"\1", template.replace("$found", ""))
    tables = tomllib.loads(uncommented)
    (tmp_path / "evo.toml").write_text(uncommented)
    assert load_config(tmp_path, environ={}) == Config()
    for table in fields(Config):
        keys = {key.name for key in fields(getattr(Config(), table.name))}
        expected = {key for key in keys if (table.name, key) not in THEIRS_NOT}
        assert set(tables[table.name]) == expected


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"package.json": '{"scripts": {"test": "node --test"}}'}, "npm test"),
        ({"Cargo.toml": '[package]\nname = "a"\n'}, "cargo test"),
        ({"go.mod": "module example.org/a\n"}, "go test ./..."),
        ({"Makefile": "all:\n\techo\ntest: all\n\techo\n"}, "make test"),
    ],
)
def test_other_languages_get_their_test_command(
    repo_factory: Any, files: dict[str, str], command: str
):
    repo = repo_factory((files, "a"))
    write_config(repo, Config())
    assert load_config(repo, environ={}).sandbox.test == command


def test_environment_tox_and_nox_are_found(repo_factory: Any):
    repo = repo_factory(({"tox.ini": "[tox]\n", "noxfile.py": "import nox\n", "a.py": ""}, "a"))
    (repo / ".venv").mkdir()
    (repo / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.12.4\n")
    why = write_config(repo, Config()).why
    assert "tox" in why
    assert "nox" in why
    assert any(".venv (Python 3.12.4)" in line for line in why)


def test_what_is_there_is_kept_unless_forced(repo_factory: Any):
    repo = repo_factory(({"evo.toml": "[limits]\nrounds = 9\n"}, "a"))
    with pytest.raises(EvoError) as caught:
        write_config(repo, load_config(repo, environ={}))
    assert "--force" in caught.value.remedy
    assert load_config(repo, environ={}).limits.rounds == 9
    write_config(repo, Config(), force=True)
    assert load_config(repo, environ={}).limits.rounds == 3


def test_a_link_is_replaced_and_never_written_through(repo_factory: Any, tmp_path: Path):
    repo = repo_factory(({"a.py": ""}, "a"))
    (tmp_path / "precious").write_text("precious")
    (repo / "evo.toml").symlink_to(tmp_path / "precious")
    with pytest.raises(EvoError):
        write_config(repo, Config())
    write_config(repo, Config(), force=True)
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (repo / "evo.toml").is_symlink()


def test_hostile_names_stay_in_their_comment(repo_factory: Any):
    evil = '"]\n[limits]\nrounds = 99 #'
    repo = repo_factory(({"requirements.txt": evil, "a.py": ""}, "a"))
    (repo / ".venv").mkdir()
    (repo / ".venv" / "pyvenv.cfg").write_text("version = 3\x1b[31m\u202e\n")
    text = write_config(repo, Config()).path.read_text()
    assert "\x1b" not in text
    assert load_config(repo, environ={}).limits.rounds == 3


def _init(repo: Path) -> subprocess.CompletedProcess[str]:
    evo = Path(sys.executable).parent / "evo"
    return subprocess.run([evo, "init"], cwd=repo, capture_output=True, text=True, check=False)


def test_the_command_writes_once_and_says_what_it_found(repo_factory: Any):
    repo = repo_factory(({"go.mod": "module example.org/a\n"}, "a"))
    first = _init(repo)
    assert first.returncode == 0
    assert "go test ./..." in first.stdout
    second = _init(repo)
    assert second.returncode == 1
    assert second.stderr.splitlines()[1] == "remedy: use --force to replace it"
