"""One builder at a time, among all processes of this user."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from evo_agent.core.config import cache_folder
from evo_agent.core.errors import SandboxError


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Hold the lock called `name`; the kernel frees it if the holder dies.

    Raises:
        SandboxError: the cache folder cannot be written.
    """
    folder = cache_folder() / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / f"{name}.lock").open("a", encoding="ascii")
    except OSError as error:
        raise SandboxError(f"{folder} cannot be written: {error}", "set EVO_HOME") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
