"""Every form in which an issue arrives, good and bad, with a GitHub over real HTTP."""

import io
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.tasks.github_server import GitHubServer

from evo_agent.core.errors import EvoError, UsageError
from evo_agent.core.git import Repository, open_repository
from evo_agent.core.types import Issue
from evo_agent.tasks import issue as issue_module
from evo_agent.tasks.ci_log import read_log
from evo_agent.tasks.github import GitHub
from evo_agent.tasks.issue import MAX_TEXT, make_task, read_issue, task_id

ISSUE = {
    "number": 7,
    "title": "Crash on empty input",
    "body": "It raises `IndexError`.",
    "state": "open",
    "comments": 2,
    "html_url": "https://github.com/ada/engine/issues/7",
    "user": {"login": "ada"},
}
PATH = "/repos/ada/engine/issues/7"


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        yield server


@pytest.fixture
def repository(repo_factory: Any) -> Repository:
    repo = repo_factory(({"a.py": "x = 1\n"}, "one"))
    url = "git@github.com:ada/engine.git"
    subprocess.run(["git", "-C", str(repo), "remote", "add", "origin", url], check=True)
    return open_repository(repo)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Retries happen at once; what they would have waited is collected."""
    waited: list[float] = []
    make = GitHub.of.__func__  # type: ignore[attr-defined]

    def of(environ: dict[str, str]) -> GitHub:
        made = make(GitHub, environ)
        return GitHub(made.base, made.token, waited.append)

    monkeypatch.setattr(issue_module.GitHub, "of", of)
    return waited


def one_line(error: EvoError) -> None:
    assert "\n" not in error.cause
    assert error.remedy
    assert "\n" not in error.remedy


def test_text_file_and_stdin_say_the_same(repository: Repository, tmp_path: Path):
    text = "# Crash on empty input\n\nIt raises IndexError.\n"
    (tmp_path / "issue.md").write_text(text)
    found = [
        read_issue(text),
        read_issue(str(tmp_path / "issue.md")),
        read_issue("-", stdin=io.StringIO(text)),
    ]
    assert [f.source for f in found] == ["text", "file", "stdin"]
    assert {f.title for f in found} == {"Crash on empty input"}
    assert len({task_id(repository.identity, f) for f in found}) == 1


def test_a_url_a_number_and_a_slug_are_the_same_issue(github: GitHubServer, repository: Repository):
    github.json(PATH, 200, ISSUE)
    environ = {"GITHUB_API_URL": github.url + "/"}
    forms = ("https://github.com/ada/engine/issues/7", "#7", "ada/engine#7")
    tasks = [make_task(repository, form, environ=environ) for form in forms]
    assert len({task.id for task in tasks}) == 1
    issue = tasks[0].issue
    assert (issue.title, issue.source) == ("Crash on empty input", "github")
    assert "IndexError" in issue.text
    assert "2 comments" in issue.text
    assert issue.url == ISSUE["html_url"]
    assert tasks[0].base == repository.head
    assert "authorization" not in github.seen[0].headers


def test_the_token_goes_to_the_api_and_not_where_it_redirects(
    github: GitHubServer, repository: Repository
):
    with GitHubServer() as elsewhere:
        elsewhere.json("/moved", 200, ISSUE)
        github.raw(PATH, 301, b"{}", Location=f"{github.url}/repositories/1/issues/7")
        github.raw("/repositories/1/issues/7", 302, b"{}", Location=f"{elsewhere.url}/moved")
        environ = {"GITHUB_API_URL": github.url, "GITHUB_TOKEN": "secret"}
        assert read_issue("#7", repository=repository, environ=environ).title == ISSUE["title"]
        assert [seen.headers.get("authorization") for seen in github.seen] == ["Bearer secret"] * 2
        assert "authorization" not in elsewhere.seen[0].headers


@pytest.mark.parametrize("name", ["GITHUB_TOKEN", "GH_TOKEN"])
def test_both_names_of_the_token(github: GitHubServer, repository: Repository, name: str):
    github.json(PATH, 200, ISSUE)
    read_issue("#7", repository=repository, environ={"GITHUB_API_URL": github.url, name: "t"})
    assert github.seen[0].headers["authorization"] == "Bearer t"


def test_a_server_in_trouble_is_asked_again(
    github: GitHubServer, repository: Repository, no_waiting: list[float]
):
    github.json(PATH, 502, {"message": "Server Error"})
    github.json(PATH, 503, {"message": "busy"}, Retry_After="3600")
    github.json(PATH, 200, ISSUE)
    environ = {"GITHUB_API_URL": github.url}
    assert read_issue("#7", repository=repository, environ=environ).title == ISSUE["title"]
    assert no_waiting == [1.0, 30.0]


LIMIT = {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "1700000000"}


@pytest.mark.parametrize(
    ("status", "body", "headers", "cause", "remedy"),
    [
        (
            404,
            {"message": "Not Found"},
            {},
            "knows no .*issues/7 .or it is private",
            "GITHUB_TOKEN",
        ),
        (410, {"message": "This issue was deleted"}, {}, "was deleted", "text"),
        (401, {"message": "Bad credentials"}, {}, "refuses .401: Bad credentials", "GITHUB_TOKEN"),
        (403, {"message": "API rate limit exceeded"}, LIMIT, "until 22:13 UTC", "GITHUB_TOKEN"),
        (429, {"message": "secondary rate limit"}, {}, "rate limit is used up$", "GITHUB_TOKEN"),
        (403, {"message": "Resource not accessible"}, {}, "not accessible", "GITHUB_TOKEN"),
        (500, {"message": "Server Error"}, {}, "answers 500", "again"),
        (200, [1, 2], {}, "does not answer with a JSON object", "GITHUB_API_URL"),
        (200, {"title": None}, {}, "is no issue", "GITHUB_API_URL"),
        (422, "nonsense\n" * 50, {}, "answers 422", "again"),
    ],
)
def test_what_github_may_answer(  # noqa: PLR0917 a table's columns
    github: GitHubServer,
    repository: Repository,
    status: int,
    body: Any,
    headers: dict[str, str],
    cause: str,
    remedy: str,
):
    github.json(PATH, status, body, **headers)
    with pytest.raises(EvoError, match=cause) as caught:
        read_issue("#7", repository=repository, environ={"GITHUB_API_URL": github.url})
    one_line(caught.value)
    assert remedy in caught.value.remedy
    assert len(github.seen) == (4 if status >= 500 else 1)


@pytest.mark.parametrize("answer", [b"<html>captive portal</html>", b"", b"\xff\xfe"])
def test_what_is_not_json(github: GitHubServer, repository: Repository, answer: bytes):
    github.raw(PATH, 200, answer)
    with pytest.raises(EvoError, match="does not answer with a JSON object") as caught:
        read_issue("#7", repository=repository, environ={"GITHUB_API_URL": github.url})
    one_line(caught.value)


def test_nobody_listens(repository: Repository):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(EvoError, match="cannot be reached") as caught:
            read_issue("#7", repository=repository, environ={"GITHUB_API_URL": url})
    one_line(caught.value)


@pytest.mark.parametrize(
    ("argument", "environ", "cause"),
    [
        ("", {}, "the issue is empty"),
        (" \n\t ", {}, "the issue is empty"),
        (None, {}, "nothing to fix was given"),
        ("missing-issue.md", {}, "there is no file"),
        ("https://github.com/ada/engine", {}, "is not a GitHub issue"),
        ("https://evil.example/ada/engine/issues/7", {}, "is not github.com"),
        ("#7", {"GITHUB_API_URL": "file:///etc/passwd"}, "is no URL"),
    ],
)
def test_what_a_person_may_get_wrong(
    repository: Repository, argument: str | None, environ: dict[str, str], cause: str
):
    with pytest.raises(EvoError, match=cause) as caught:
        read_issue(argument, repository=repository, environ=environ)
    one_line(caught.value)


def test_a_number_needs_a_remote(repo_factory: Any):
    alone = open_repository(repo_factory(({"a": "1"}, "one"), name="alone"))
    with pytest.raises(UsageError, match="no GitHub remote") as caught:
        read_issue("#7", repository=alone, environ={})
    one_line(caught.value)


def test_files_that_are_no_issue(tmp_path: Path):
    (tmp_path / "empty.md").write_text("\n")
    with pytest.raises(EvoError, match="the issue is empty"):
        read_issue(str(tmp_path / "empty.md"))
    with pytest.raises(EvoError, match="is not a file"):
        read_issue(str(tmp_path))
    with pytest.raises(EvoError, match="cannot be read"):
        read_issue(None, log=str(tmp_path / "no.log"))


def test_the_text_is_bounded_and_clean(tmp_path: Path):
    (tmp_path / "big.txt").write_bytes(b"title\n\0\xff" + b"x" * 3_000_000)
    issue = read_issue(str(tmp_path / "big.txt"))
    assert issue.title == "title"
    assert len(issue.text) < MAX_TEXT + 100
    assert "\0" not in issue.text
    issue.text.encode("utf-8")


def test_a_failing_test_is_an_issue(repository: Repository):
    task = make_task(repository, None, tests=("tests/a.py::test_x", "tests/a.py::test_y"))
    turned = make_task(repository, None, tests=("tests/a.py::test_y", "tests/a.py::test_x"))
    assert task.failing_tests == ("tests/a.py::test_x", "tests/a.py::test_y")
    assert task.issue.source == "test"
    assert task.id == turned.id
    assert task.id != make_task(repository, None, tests=("tests/a.py::test_x",)).id


PYTEST_LOG = """\
2026-01-01T10:00:00.1234567Z ##[group]Run pytest
2026-01-01T10:00:02.1234567Z \x1b[31mtests/test_a.py F.E\x1b[0m
2026-01-01T10:00:02.2234567Z =================================== FAILURES ===================================
2026-01-01T10:00:02.3234567Z >       assert price("a b") == 2
2026-01-01T10:00:02.3334567Z E       AssertionError: assert 1 == 2
2026-01-01T10:00:02.4234567Z =========================== short test summary info ============================
2026-01-01T10:00:02.5234567Z \x1b[31mFAILED\x1b[0m tests/test_a.py::TestPrice::test_x[a b-1] - AssertionError: assert 1 == 2
2026-01-01T10:00:02.5334567Z [gw1] [ 50%] FAILED tests/test_b.py::test_y
2026-01-01T10:00:02.5434567Z ERROR tests/test_c.py - ModuleNotFoundError: No module named 'z'
2026-01-01T10:00:02.5534567Z FAILED tests/test_b.py::test_y - ValueError
"""
UNITTEST_LOG = """\
test (1)\tRun tests\t2026-01-01T10:00:00.1Z F.E
test (1)\tRun tests\t2026-01-01T10:00:00.2Z ======================================================================
test (1)\tRun tests\t2026-01-01T10:00:00.3Z FAIL: test_sum (pkg.tests.CalcTest.test_sum)
test (1)\tRun tests\t2026-01-01T10:00:00.4Z AssertionError: 3 != 4
test (1)\tRun tests\t2026-01-01T10:00:00.5Z ERROR: test_old (pkg.tests.OldTest)
test (1)\tRun tests\t2026-01-01T10:00:00.6Z ERROR: pkg.broken (unittest.loader._FailedTest.pkg.broken)
"""


def test_logs_of_ci():
    pytest_log = read_log(PYTEST_LOG)
    assert pytest_log.tests == (
        "tests/test_a.py::TestPrice::test_x[a b-1]",
        "tests/test_b.py::test_y",
        "tests/test_c.py",
    )
    assert pytest_log.excerpt.startswith("=================================== FAILURES")
    assert "\x1b" not in pytest_log.excerpt
    assert "2026-01-01" not in pytest_log.excerpt
    unittest_log = read_log(UNITTEST_LOG)
    assert unittest_log.tests == ("pkg.tests.CalcTest.test_sum", "pkg.tests.OldTest.test_old")
    assert "3 != 4" in unittest_log.excerpt


def test_a_log_makes_a_task(repository: Repository, tmp_path: Path):
    log = tmp_path / "ci.log"
    log.write_text("noise\n" * 2_000_000 + PYTEST_LOG)
    task = make_task(repository, None, log=str(log))
    assert task.failing_tests[1] == "tests/test_b.py::test_y"
    assert task.issue.source == "log"
    assert "test_x[a b-1]" in task.issue.title
    log.write_text(PYTEST_LOG.replace("2026", "2027"))
    assert make_task(repository, None, log=str(log)).id == task.id  # the next run of the same job
    both = make_task(repository, "Prices are wrong", log=str(log), tests=("t.py::x",))
    assert both.issue.title == "Prices are wrong"
    assert "assert 1 == 2" in both.issue.text
    assert both.failing_tests == ("t.py::x",)


def test_an_id_depends_on_the_repository(repository: Repository):
    issue = Issue("t", "it  breaks\nhere")
    assert task_id(repository.identity, issue) == task_id(
        repository.identity, Issue("other title", "it breaks here")
    )
    assert task_id(repository.identity, issue) != task_id("another", issue)
