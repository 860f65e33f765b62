"""Sending a branch to a remote: the only time that git talks to the network."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from evo_agent.core.errors import RepositoryError
from evo_agent.core.git.harden import GitError, execute, git_environment
from evo_agent.core.git.repository import Repository

# Not `file`, whose other end runs that folder's hooks on this machine, nor `ext`, a command.
PROTOCOLS = ("https", "http", "ssh")


def push_branch(
    repository: Repository, commit: str, branch: str, *, settings: Mapping[str, str] | None = None
) -> None:
    """Push a commit to a new branch of the remote; nothing there is overwritten.

    It is pushed from the view: neither the repository's configuration nor its pre-push hook
    takes part, and ssh is the system's own, without asking anything.

    Args:
        repository: the user's.
        commit: full SHA.
        branch: the branch's name on the remote.
        settings: git configuration for it, such as an http.<url>.extraHeader.

    Raises:
        RepositoryError: there is no remote, its protocol is not allowed, or it refuses.
    """
    url = repository.remote_url
    if not url:
        raise RepositoryError("the repository has no remote to push to", "git remote add origin …")
    if url.startswith("-") or "::" in url or urlsplit(url).scheme == "file":
        raise RepositoryError(f"evo does not push to {url:.80}", "use an https or ssh remote")
    env = git_environment(settings={**(settings or {}), "http.followRedirects": "false"})
    env |= {"GIT_ALLOW_PROTOCOL": ":".join(PROTOCOLS), "GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}
    command = ("push", "--no-verify", "--quiet", "--", url, f"{commit}:refs/heads/{branch}")
    try:
        execute(repository.view.command(*command), env, cwd=repository.view.path)
    except GitError as error:
        raise RepositoryError(
            f"{branch} cannot be pushed: {error.cause}", "check the remote and your rights there"
        ) from error
