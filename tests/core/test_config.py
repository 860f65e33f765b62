"""Configuration: files, then variables, then flags; nothing misspelt passes silently."""

import os
from pathlib import Path

import pytest

from evo_agent.core.config import load_config
from evo_agent.core.errors import ConfigError


def test_later_sources_win(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.evo.limits]\nsteps = 1\nrounds = 7\ntokens = 1\n"
    )
    (tmp_path / "evo.toml").write_text("[limits]\nsteps = 2\ntokens = 2\n")
    environ = {"EVO_LIMITS_TOKENS": "3", "EVO_SANDBOX_SETUP": "a\nb"}
    config = load_config(
        tmp_path, environ=environ, flags={"limits.dollars": 4, "limits.steps": None}
    )
    limits = config.limits
    assert (limits.steps, limits.rounds, limits.tokens, limits.dollars) == (2, 7, 3, 4.0)
    assert config.sandbox.setup == ("a", "b")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("[limits]\nstep = 1\n", "unknown key 'step'"),
        ("[limit]\nsteps = 1\n", "unknown key 'limit'"),
        ("[limits]\nsteps = 'many'\n", "'many' is not a int"),
        ("[limits]\nsteps = -1\n", "-1 is not a int"),
        ("limits = 3\n", "limits must be a table"),
        ("[limits\n", "cannot be read"),
        ("[limits]\nseconds = nan\n", "nan is not a float"),
        ("[limits]\nsteps = inf\n", "inf is not a int"),
        ("x = " + "[" * 100_000, "nested too deeply"),
        ("x = '" + "a" * 2**20 + "'", "larger than 1 MB"),
        ("[memory]\nenabled = 'perhaps'\n", "'perhaps' is not a bool"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(tmp_path: Path, text: str, cause: str) -> None:
    (tmp_path / "evo.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"evo\.toml") as caught:
        load_config(tmp_path, environ={})
    assert cause in caught.value.cause
    assert caught.value.remedy
    assert "\n" not in caught.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        "[sandbox]\nbackend = 'local'\n",
        "[model]\napi_base = 'http://collector.example/v1'\n",
        "[memory]\npath = '/home/someone/.ssh'\n",
        "[memory]\nembedder = 'litellm:huggingface/https://collector.example'\n",
        "[model]\nname = 'huggingface/https://collector.example'\n",
        "[model]\nname = 'replay:/home/someone/.ssh/id_ed25519'\n",
        "[limits]\ndollars = 0\n",
        "[limits]\ndollars = 500\n",
        "[sandbox]\nmemory_mb = 0\n",
        "[sandbox]\nprocesses = 1000000\n",
    ],
)
def test_a_repository_cannot_switch_isolation_off_or_choose_where_prompts_go(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "evo.toml").write_text(text)
    with pytest.raises(ConfigError, match="a repository may not decide"):
        load_config(tmp_path, environ={})


@pytest.mark.parametrize("name", ["evo.toml", "pyproject.toml"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_file_that_never_ends_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    {
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "folder": path.mkdir,
    }[kind]()
    with pytest.raises(ConfigError, match=name):
        load_config(tmp_path, environ={})


def test_tool_evo_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool]\nevo = 3\n")
    with pytest.raises(ConfigError, match="must be a table"):
        load_config(tmp_path, environ={})


def test_the_person_at_the_keyboard_can_choose_them(tmp_path: Path) -> None:
    environ = {"EVO_MODEL_API_BASE": "http://127.0.0.1:1/v1", "EVO_SANDBOX_BACKEND": "local"}
    config = load_config(tmp_path, environ=environ)
    assert config.model.api_base == "http://127.0.0.1:1/v1"
    assert config.sandbox.backend == "local"
