"""`evo demo`: a small repository with a history and a failing test; learn the one, fix the other.

Calls what the command line calls, nothing else, so that what it shows is what a person gets.
"""

import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evo_agent.core.config import STATE_FOLDER, load_config
from evo_agent.core.errors import UsageError
from evo_agent.core.events import Event
from evo_agent.tasks.demo_history import FAILING_TEST, HISTORY, ISSUE, DemoCommit

if TYPE_CHECKING:
    from evo_agent.tasks.results import FixResult

_AUTHOR = ("Ada Demo", "ada@example.org")


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo left behind: the repository, the run, its page, and the skill it wrote."""

    repo: Path
    result: "FixResult"
    page: Path
    skill: Path | None


def run_demo(
    folder: Path | None,
    *,
    backend: str = "",
    model: str = "",
    say: Callable[[str], None] = lambda _: None,
    observe: Callable[[Event], None] = lambda _: None,
) -> Demo:
    """Make the repository, learn its history, fix its bug, write the run's page.

    Args:
        folder: where to make the repository (new or empty); None: a temporary folder, kept.
        backend: the sandbox; empty for what the configuration says.
        model: the model; empty: what the environment configures, else the repair solver.
        say: called with a line of explanation at a time.
        observe: called with every event of the run.

    Raises:
        UsageError: the folder holds something.
        EvoError: whatever `learn` and `fix` raise.
    """
    from evo_agent.tasks.fix import fix  # noqa: PLC0415  (opens what is heavy)
    from evo_agent.tasks.knowledge import learn  # noqa: PLC0415
    from evo_agent.tasks.report import write_report  # noqa: PLC0415
    from evo_agent.tasks.results import FixRequest  # noqa: PLC0415

    repo = make_repository(folder)
    say(f"A repository with {len(HISTORY)} commits and a failing test: {repo}")
    flags = {"sandbox.backend": backend or None, "model.name": model or None}
    config = load_config(repo, flags=flags)
    report = learn(repo, config)
    say(f"Learnt its history: {report.added} of {report.seen} commits are new to memory.")
    say(f"The issue: {ISSUE.splitlines()[0]}")
    say(f"The failing test: {FAILING_TEST}")
    request = FixRequest(repo=repo, issue=ISSUE, tests=(FAILING_TEST,))
    result = fix(request, config, observe)
    skill = repo / STATE_FOLDER / "skills" / result.written.skill_name / "SKILL.md"
    return Demo(repo, result, write_report(result.run), skill if skill.is_file() else None)


def make_repository(folder: Path | None) -> Path:
    """Make the demo's repository, commit by commit.

    Returns:
        Its top folder.

    Raises:
        UsageError: the folder is not empty or cannot be made.
    """
    repo = _empty_folder(folder)
    _git(repo, "init", "--quiet", "--initial-branch=main", "--template=")
    _git(repo, "config", "user.name", _AUTHOR[0])
    _git(repo, "config", "user.email", _AUTHOR[1])
    for commit in HISTORY:
        _commit(repo, commit)
    return repo


def _empty_folder(folder: Path | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="evo-demo-")).resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        empty = not any(folder.iterdir())
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be used: {error.strerror}", "name another folder"
        ) from error
    if not empty:
        raise UsageError(f"{folder} is not empty", "name a new or an empty folder")
    return folder.resolve()


def _commit(repo: Path, commit: DemoCommit) -> None:
    for name, content in commit.files.items():
        (repo / name).write_text(content, "utf-8")
    _git(repo, "add", "--all", date=commit.date)
    _git(repo, "commit", "--quiet", f"--message={commit.message}", date=commit.date)


def _git(repo: Path, *arguments: str, date: str = "") -> None:
    """Git in the repository just made here; no configuration of the machine takes part."""
    from evo_agent.core.git import GitError, git_environment  # noqa: PLC0415  (git is heavy)

    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date} if date else {}
    done = subprocess.run(
        ["git", *arguments],
        cwd=repo,
        env=git_environment() | dates,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise GitError(arguments[0], done.returncode, done.stderr)
