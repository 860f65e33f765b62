"""Git on the host, the one place. Nothing that a repository supplies is ever executed.

`harden` is how git is run, `view` the private git folder through which a repository is read,
`repository` what is known about it, `writing` the few changes made to it.
"""

from evo_agent.core.git.harden import GitDir, GitError, git_environment
from evo_agent.core.git.repository import (
    STATE_FOLDER,
    Repository,
    git_command,
    ignore_state_folder,
    open_repository,
)

__all__ = [
    "STATE_FOLDER",
    "GitDir",
    "GitError",
    "Repository",
    "git_command",
    "git_environment",
    "ignore_state_folder",
    "open_repository",
]
