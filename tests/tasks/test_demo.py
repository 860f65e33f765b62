"""The demo's repository is real, the same every time, and fails where it says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evo_agent.core.errors import UsageError
from evo_agent.tasks.demo import make_repository
from evo_agent.tasks.demo_history import FAILING_TEST, HISTORY


def _git(repo: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=repo, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _pytest(repo: Path) -> list[str]:
    """Ids of the tests that fail in a checkout."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider"],
        cwd=repo,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAILED ")]


def test_the_same_repository_every_time(tmp_path: Path):
    one, two = make_repository(tmp_path / "one"), make_repository(tmp_path / "two")
    assert _git(one, "rev-parse", "HEAD") == _git(two, "rev-parse", "HEAD")
    assert _git(one, "status", "--porcelain") == ""
    assert int(_git(one, "rev-list", "--count", "HEAD")) == len(HISTORY)


def test_only_the_named_test_fails_and_only_since_the_last_commit(tmp_path: Path):
    repo = make_repository(tmp_path / "demo")
    assert _pytest(repo) == [FAILING_TEST]
    _git(repo, "checkout", "-q", "HEAD~1")
    assert _pytest(repo) == []


def test_the_machines_git_configuration_takes_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    template = tmp_path / "template"
    (template / "hooks").mkdir(parents=True)
    hook = template / "hooks" / "pre-commit"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
    hook.chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(
        f"[init]\n\ttemplateDir = {template}\n[core]\n\thooksPath = {template}/hooks\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    make_repository(tmp_path / "demo")
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_holds_something_is_refused(tmp_path: Path):
    (tmp_path / "precious").write_text("x")
    with pytest.raises(UsageError) as caught:
        make_repository(tmp_path)
    assert "not empty" in caught.value.cause
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError):
        make_repository(tmp_path / "file" / "demo")
