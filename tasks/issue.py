"""An issue, in every form in which one arrives, and the task that it makes.

The text is untrusted, whatever its form, and bounded.
"""

import hashlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from evo_agent.core.errors import EvoError, UsageError
from evo_agent.core.git import Repository
from evo_agent.core.git.repository import normal_url
from evo_agent.core.types import Issue, Task
from evo_agent.tasks.ci_log import LogFindings, read_log
from evo_agent.tasks.github import PUBLIC_API, GitHub

MAX_TEXT = 200_000  # characters
MAX_LOG = 5 * 2**20  # bytes, from the end
_TITLE = 120
_NUMBER = re.compile(r"(?:(?P<owner>[\w.-]+)/(?P<repo>[\w.-]+))?#(?P<number>\d+)")
_PATH = re.compile(r"/(?P<owner>[\w.-]+)/(?P<repo>[\w.-]+)/(?:issues|pull)/(?P<number>\d+)/?")
_URL = re.compile(r"https?://\S+")
_FILE_NAME = re.compile(r"\S+\.(?:md|txt|rst|log)")


def make_task(
    repository: Repository,
    argument: str | None,
    *,
    tests: Sequence[str] = (),
    log: str | None = None,
    base: str = "HEAD",
    stdin: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
) -> Task:
    """The task that the command line describes; see `read_issue` for the arguments.

    Tests that the log names as failing are the task's failing tests, when none is named.

    Raises:
        EvoError: the issue is empty or cannot be read.
        RepositoryError: base names no commit.
    """
    findings = _findings(log)
    issue = _read(
        argument,
        tests=tests,
        findings=findings,
        repository=repository,
        stdin=stdin or sys.stdin,
        environ=_environ(environ),
    )
    failing = tuple(tests) or (findings.tests if findings else ())
    number = task_id(repository.identity, issue, failing)
    return Task(number, repository.root, repository.resolve(base), issue, failing)


def read_issue(
    argument: str | None,
    *,
    tests: Sequence[str] = (),
    log: str | None = None,
    repository: Repository | None = None,
    stdin: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
) -> Issue:
    """Read an issue.

    Args:
        argument: text, path of a file, "-" (stdin), a GitHub issue's URL, "#n" or
            "owner/repo#n"; None when tests or a log say it all.
        tests: ids of failing tests.
        log: path of a CI log.
        repository: says whose "#n" it is.
        stdin: where "-" reads.
        environ: for GITHUB_API_URL, GITHUB_TOKEN and GH_TOKEN.

    Raises:
        EvoError: it is empty or cannot be read.
    """
    return _read(
        argument,
        tests=tests,
        findings=_findings(log),
        repository=repository,
        stdin=stdin or sys.stdin,
        environ=_environ(environ),
    )


def task_id(identity: str, issue: Issue, tests: Sequence[str] = ()) -> str:
    """A name that the same issue in the same repository always gets, 16 hex digits.

    An issue on GitHub is its URL, failing tests are their ids, and a text is its words.
    """
    if issue.url:
        what = [issue.url.lower()]
    elif issue.source in ("test", "log") and tests:
        what = sorted(tests)
    else:
        what = [" ".join(issue.text.split()), *sorted(tests)]
    return hashlib.sha256("\0".join([identity, *what]).encode("utf-8", "replace")).hexdigest()[:16]


def _read(
    argument: str | None,
    *,
    tests: Sequence[str],
    findings: LogFindings | None,
    repository: Repository | None,
    stdin: TextIO,
    environ: Mapping[str, str],
) -> Issue:
    if argument is None:
        return _without_words(tests, findings)
    issue = _from_argument(argument, repository, stdin, environ)
    if not issue.text.strip() and not issue.title.strip():
        raise EvoError(
            "the issue is empty", "say what is wrong, or name a failing test with --test"
        )
    if findings is None:
        return issue
    text = _bounded(f"{issue.text}\n\n{findings.excerpt}")
    return Issue(issue.title, text, issue.source, issue.url)


def _without_words(tests: Sequence[str], findings: LogFindings | None) -> Issue:
    if findings is not None:
        named = ", ".join(tests or findings.tests)
        title = f"CI fails: {named}" if named else f"CI fails: {_last_line(findings.excerpt)}"
        return Issue(_short(title), findings.excerpt, "log")
    if not tests:
        raise UsageError("nothing to fix was given", "give an issue, --test ID or --log FILE")
    named = ", ".join(tests)
    many = "s" if len(tests) > 1 else ""
    return Issue(
        _short(f"Failing test{many}: {named}"), f"Make the failing test{many} pass: {named}", "test"
    )


def _from_argument(
    argument: str, repository: Repository | None, stdin: TextIO, environ: Mapping[str, str]
) -> Issue:
    if argument == "-":
        return _of_text(stdin.read(MAX_TEXT + 1), "stdin")
    word = argument.strip()
    number = _NUMBER.fullmatch(word)
    if number:
        owner, repo = (number["owner"], number["repo"])
        slug = f"{owner}/{repo}" if owner else origin_slug(repository)
        return _from_github(slug, number["number"], environ)
    if _URL.fullmatch(word):
        return _from_url(word, environ)
    path = Path(argument)
    if word and "\n" not in argument and len(argument) < 1000 and path.exists():  # noqa: PLR2004 a path's bound
        return _of_text(_file_text(path), "file")
    if _FILE_NAME.fullmatch(word):
        raise EvoError(f"there is no file {word}", "check the path, or give the issue as text")
    return _of_text(argument, "text")


def _from_url(url: str, environ: Mapping[str, str]) -> Issue:
    parts = urlsplit(url)
    found = _PATH.fullmatch(parts.path)
    if found is None:
        raise UsageError(f"{url} is not a GitHub issue", "…/OWNER/REPO/issues/N, or give text")
    public = parts.hostname in ("github.com", "www.github.com")
    if not public and not environ.get("GITHUB_API_URL"):
        raise UsageError(
            f"{parts.hostname} is not github.com", "set GITHUB_API_URL to its API's address"
        )
    return _from_github(f"{found['owner']}/{found['repo']}", found["number"], environ)


def _from_github(slug: str, number: str, environ: Mapping[str, str]) -> Issue:
    found = GitHub.of(environ).get(f"repos/{slug}/issues/{number}")
    title, body = found.get("title"), found.get("body") or ""
    if not isinstance(title, str) or not isinstance(body, str):
        raise EvoError(f"the answer for {slug}#{number} is no issue", "check GITHUB_API_URL")
    count = found.get("comments")
    more = f"\n\n({count} comments are not shown)" if isinstance(count, int) and count else ""
    url = str(found.get("html_url") or f"{PUBLIC_API}/repos/{slug}/issues/{number}")
    return Issue(_short(title), _bounded(f"{title}\n\n{body}{more}"), "github", url)


def origin_slug(repository: Repository | None) -> str:
    """Owner and name of the repository on GitHub, by its origin.

    Raises:
        UsageError: it has none that says so.
    """
    url = repository.remote_url if repository is not None else ""
    _, _, path = normal_url(url).partition("/")
    parts = path.strip("/").split("/")
    if len(parts) != 2 or not all(re.fullmatch(r"[\w.-]+", part) for part in parts):  # noqa: PLR2004
        raise UsageError(
            "the repository has no GitHub remote to look #n up in", "give the issue's URL"
        )
    return "/".join(parts)


def _findings(log: str | None) -> LogFindings | None:
    if log is None:
        return None
    findings = read_log(_tail(Path(log)))
    if not findings.excerpt.strip():
        raise EvoError(f"the log {log} is empty", "give the log of the failing job")
    return findings


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MAX_LOG))
            return file.read(MAX_LOG).decode("utf-8", "replace")
    except OSError as error:
        raise EvoError(
            f"the log {path} cannot be read: {error.strerror}", "check the path"
        ) from error


def _file_text(path: Path) -> str:
    try:
        if not path.is_file():
            raise EvoError(f"{path} is not a file", "give a file, or the issue as text")
        with path.open("rb") as file:
            return file.read(4 * MAX_TEXT).decode("utf-8", "replace")
    except OSError as error:
        raise EvoError(
            f"{path} cannot be read: {error.strerror}", "check its permissions"
        ) from error


def _of_text(text: str, source: str) -> Issue:
    lines = [line.strip("# \t") for line in text.splitlines()]
    title = next((line for line in lines if line), "")
    return Issue(_short(title), _bounded(text), source)


def _bounded(text: str) -> str:
    clean = text.replace("\0", "")
    return clean if len(clean) <= MAX_TEXT else f"{clean[:MAX_TEXT]}\n[cut here: it is longer]"


def _short(title: str) -> str:
    line = " ".join(title.split())
    return line if len(line) <= _TITLE else f"{line[: _TITLE - 1]}…"


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _environ(environ: Mapping[str, str] | None) -> Mapping[str, str]:
    return os.environ if environ is None else environ
