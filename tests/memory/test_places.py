"""One call answers which files and functions, which episodes, and which lessons."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from evo_agent.core.git import open_repository
from evo_agent.core.types import Issue, Query, Task
from evo_agent.memory.store import Memory

PAGER = "def last_page(items, size):\n    return items[-size:]\n"
CLOCK = "def tick(now):\n    return now + 1\n"
ISSUE = "last_page of the pager loses items"


@pytest.fixture
def repo(repo_factory: Callable[..., Path]) -> Path:
    return repo_factory(
        ({"shop/pager.py": PAGER, "shop/clock.py": CLOCK}, "Add pager and clock"),
        ({"shop/pager.py": PAGER.replace("-size", "-size or None")}, "Fix last_page of the pager"),
        ({"shop/late.py": "def last_page_of_the_pager(items):\n    pass\n"}, "Add a later pager"),
    )


def ask(memory: Memory, repo: Path, text: str, base: str = "HEAD", places: int = 3):
    repository = open_repository(repo)
    query = Query(text, repo=repository.identity, base=repository.resolve(base), places=places)
    return memory.recall(query)


def test_places_come_first_with_their_reasons_then_records(repo: Path, tmp_path: Path):
    with Memory.open(tmp_path / "memory", repo=repo) as memory:
        memory.learn(repo)
        first, *others = ask(memory, repo, ISSUE, base="HEAD~1")
    assert (first.kind, first.id, first.paths) == (
        "place",
        "shop/pager.py::last_page",
        ("shop/pager.py",),
    )
    assert first.data["line"] == 1
    assert first.why
    assert "episode" in {record.kind for record in others}


def test_nothing_later_than_the_base_is_a_place(repo: Path, tmp_path: Path):
    with Memory.open(tmp_path / "memory", repo=repo) as memory:
        before = ask(memory, repo, ISSUE, base="HEAD~1")
        after = ask(memory, repo, ISSUE)
    assert "shop/late.py" not in {path for found in before for path in found.paths}
    assert "shop/late.py" in {path for found in after for path in found.paths}


def test_places_are_named_only_when_they_are_asked_for(repo: Path, tmp_path: Path):
    with Memory.open(tmp_path / "memory", repo=repo) as memory:
        assert ask(memory, repo, ISSUE, places=0) == ()
        assert len(ask(memory, repo, ISSUE, places=1)) == 1


def test_a_text_about_something_else_names_nothing(repo: Path, tmp_path: Path):
    with Memory.open(tmp_path / "memory", repo=repo) as memory:
        assert ask(memory, repo, "the kettle boils over when nobody watches") == ()


def test_a_commit_that_claims_a_date_of_no_calendar_does_no_harm(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_DATE", "@999999999999999 +0000")
    (repo / "shop" / "clock.py").write_text(CLOCK.replace("1", "2"))
    git = ["git", "-C", str(repo), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "commit", "-qam", "Fix the clock that ticks by one"], check=True)
    monkeypatch.undo()
    (repo / "shop" / "clock.py").write_text(CLOCK.replace("1", "3"))
    subprocess.run([*git, "commit", "-qam", "Tick by three"], check=True)
    with Memory.open(tmp_path / "memory", repo=repo) as memory:
        memory.learn(repo)
        found = ask(memory, repo, "the clock ticks by one", places=0)
    assert "Add pager and clock" in {record.title for record in found}


def test_a_commit_that_names_the_tasks_issue_never_answers(
    repo_factory: Callable[..., Path], tmp_path: Path
):
    repo = repo_factory(
        ({"shop/pager.py": PAGER}, "Add pager"),
        ({"shop/pager.py": PAGER + "#\n"}, "Fix last_page of the pager, it loses items (#7)"),
        ({"shop/pager.py": PAGER + "##\n"}, "Fix last_page of the pager, it loses items (#8)"),
        ({"shop/clock.py": CLOCK}, "Add clock"),
    )
    issue = Issue(ISSUE, ISSUE, "github", "https://github.com/ada/shop/issues/7")
    with Memory.open(tmp_path / "memory", repo=repo) as memory:
        memory.learn(repo)
        repository = open_repository(repo)
        task = Task("task-1", repo, repository.head, issue)
        asked = Query(ISSUE, repo=repository.identity, base=task.base, issue_id=task.issue_ids)
        titles = {record.title for record in memory.recall(asked)}
    assert "Fix last_page of the pager, it loses items (#8)" in titles
    assert "Fix last_page of the pager, it loses items (#7)" not in titles
