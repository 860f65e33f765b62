"""A fix as a draft pull request on GitHub."""

import base64
from collections.abc import Mapping
from urllib.parse import urlsplit

from evo_agent.core.errors import EvoError, UsageError
from evo_agent.core.git import Repository
from evo_agent.core.git.push import push_branch
from evo_agent.tasks.deliver import Fix, make_branch
from evo_agent.tasks.github import PUBLIC_API, GitHub
from evo_agent.tasks.issue import origin_slug


def check_pull(repository: Repository, environ: Mapping[str, str]) -> None:
    """Find out before a run whether a pull request could be opened.

    Raises:
        UsageError: no token, or no GitHub remote.
    """
    origin_slug(repository)
    if not GitHub.of(environ).token:
        raise UsageError("a pull request needs a token", "set GITHUB_TOKEN")


def open_pull(repository: Repository, fix: Fix, target: str, environ: Mapping[str, str]) -> str:
    """Commit on a new branch, push it, and open a draft pull request.

    Args:
        repository: the user's.
        fix: what to hand over.
        target: name of the branch; empty makes one up.
        environ: for GITHUB_API_URL and the token.

    Returns:
        One line with the pull request's address.

    Raises:
        EvoError: at which step it failed; the branch, once made, stays.
    """
    check_pull(repository, environ)
    github, slug = GitHub.of(environ), origin_slug(repository)
    base = repository.branch or str(github.get(f"repos/{slug}")["default_branch"])
    name, commit = make_branch(repository, fix, target)
    title, _, body = fix.message.strip().partition("\n")
    try:
        push_branch(repository, commit, name, settings=_token_header(repository, github))
        pull = github.post(
            f"repos/{slug}/pulls",
            {"title": title, "body": body.strip(), "head": name, "base": base, "draft": True},
        )
    except EvoError as error:
        raise EvoError(
            f"committed on the branch {name}, but {error.cause}", error.remedy
        ) from error
    return f"draft pull request opened: {pull.get('html_url', slug)} (branch {name})"


def _token_header(repository: Repository, github: GitHub) -> dict[str, str]:
    """The token for a push, only where the remote is the API's own host over http(s)."""
    url = urlsplit(repository.remote_url)
    web = urlsplit("https://github.com" if github.base == PUBLIC_API else github.base)
    if (url.scheme, url.hostname, url.port) != (web.scheme, web.hostname, web.port):
        return {}
    secret = base64.b64encode(f"x-access-token:{github.token}".encode()).decode()
    return {f"http.{web.scheme}://{web.netloc}/.extraHeader": f"Authorization: Basic {secret}"}
