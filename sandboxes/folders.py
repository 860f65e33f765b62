"""Reading and writing below a folder that something hostile can change at any moment.

Every path is walked one component at a time with O_NOFOLLOW, so a symbolic link, wherever it
is put and whenever, never leads out of the folder. No descriptor outlives its call.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from evo_agent.core.errors import SandboxError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def open_root(folder: Path) -> Iterator[int]:
    """A descriptor of the folder itself.

    Raises:
        SandboxError: it is gone, or is no folder any more.
    """
    try:
        descriptor = os.open(folder, _FOLDER)
    except OSError as error:
        raise SandboxError(f"the workspace {folder} is gone: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def open_folder(root: int, path: str) -> Iterator[int]:
    """A descriptor of a folder below; the empty path is the root.

    Raises:
        OSError: a component is missing or is not a real folder.
    """
    current = os.dup(root)
    try:
        for name in path.split("/") if path else ():
            below = os.open(name, _FOLDER, dir_fd=current)
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)


@contextmanager
def open_file(root: int, path: str) -> Iterator[BinaryIO]:
    """A regular file below, for reading.

    Raises:
        OSError: it is missing, unreadable, or a link.
    """
    folder, _, name = path.rpartition("/")
    with open_folder(root, folder) as parent:
        # O_NONBLOCK: the file may have become a pipe since it was looked at.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=parent)
    with os.fdopen(descriptor, "rb") as file:
        yield file


def read_link(root: int, path: str) -> bytes:
    """The target of a link below, as bytes."""
    folder, _, name = path.rpartition("/")
    with open_folder(root, folder) as parent:
        return os.fsencode(os.readlink(name, dir_fd=parent))


def remove(root: int, path: str) -> None:
    """Remove whatever is at a path below, and the folders that this leaves empty."""
    folder, _, name = path.rpartition("/")
    with suppress(FileNotFoundError, NotADirectoryError):
        with open_folder(root, folder) as parent:
            _clear(parent, name)
        while folder:
            above, _, name = folder.rpartition("/")
            with suppress_not_empty(), open_folder(root, above) as parent:
                os.rmdir(name, dir_fd=parent)
            folder = above


@contextmanager
def suppress_not_empty() -> Iterator[None]:
    """Let a folder that still holds something, or is in use, stay."""
    with suppress(OSError):
        yield


def place(root: int, path: str, source: Path) -> None:
    """Put a copy of a private file or link at a path below, in place of what is there.

    What stands in the way (a file or link where a folder is needed) is removed. Owner and
    group are those of the root folder, so that the sandbox's user can go on working with it.
    """
    folder, _, name = path.rpartition("/")
    owner = os.fstat(root)
    with _made_folder(root, folder, owner) as parent:
        _clear(parent, name)
        if source.is_symlink():
            os.symlink(source.readlink(), name, dir_fd=parent)
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, 0o600, dir_fd=parent)
            with os.fdopen(descriptor, "wb") as target, source.open("rb") as content:
                shutil.copyfileobj(content, target)
                os.fchmod(descriptor, 0o755 if source.stat().st_mode & 0o100 else 0o644)
        _give(parent, name, owner)


@contextmanager
def _made_folder(root: int, path: str, owner: os.stat_result) -> Iterator[int]:
    current = os.dup(root)
    try:
        for name in path.split("/") if path else ():
            below = _enter(current, name, owner)
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)


def _enter(parent: int, name: str, owner: os.stat_result) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except OSError:
        _clear(parent, name)
        os.mkdir(name, 0o755, dir_fd=parent)
        _give(parent, name, owner)
        return os.open(name, _FOLDER, dir_fd=parent)


def _clear(parent: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except IsADirectoryError:
        shutil.rmtree(name, dir_fd=parent)
    except FileNotFoundError:
        pass


def _give(parent: int, name: str, owner: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.chown(name, owner.st_uid, owner.st_gid, dir_fd=parent, follow_symlinks=False)
