"""What is in a work tree that cannot be trusted: a bounded walk, without following links."""

import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from evo_agent.core.errors import PatchRefusedError
from evo_agent.sandboxes.folders import open_file, open_folder

MAX_ENTRIES = 500_000  # files and folders looked at, ignored folders not entered
MAX_NEW_FILES = 20_000  # neither tracked nor ignored
MAX_DEPTH = 100
MAX_FILE_BYTES = 50 * 2**20
LINK, SUBMODULE = 0o120000, 0o160000  # git's file modes
_RULE_FILES = (".gitignore", ".gitattributes")
_RULE_BYTES = 2**20
# What git refuses as .git, other file systems' spellings among them (is_ntfs_dotgit in path.c).
_GIT_NAME = re.compile(r"(?:^|\\)(?:\.git|git~1)[. ]*(?:$|[\\:])", re.IGNORECASE)

Ignored = Callable[[Iterable[str]], set[str]]
Signature = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """A file or link that belongs to the tree.

    Attributes:
        mode: git's: 0o100644, 0o100755 or 0o120000.
        size: bytes.
        signature: equal signatures, equal content (the kernel sets ctime, nobody else can).
        changed: seconds of the last change, to tell how far the signature can be relied on.
    """

    mode: int
    size: int
    signature: Signature
    changed: float


@dataclass(slots=True)
class Scan:
    """What a walk found.

    Attributes:
        files: path to what is there.
        problems: why this tree cannot become a patch, one line each.
        nested: paths of `.git` entries below the top.
        unread: folders and files that could not be read.
    """

    files: dict[str, Found] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def fail(self, path: str, why: str) -> None:
        """Note that what is at a path is not known."""
        self.problems.append(f"{path or '.'} cannot be read: {why}")
        self.unread.append(path)

    def knows(self, path: str) -> bool:
        """Whether the walk saw what is, or is not, at a path."""
        return not any(not u or path == u or path.startswith(f"{u}/") for u in self.unread)


@dataclass(slots=True)
class Walker:
    """Walks a tree level by level, so that each level needs one question about ignored names.

    Attributes:
        root: descriptor of the tree.
        modes: what git tracks at base: path to mode (0o160000 for a submodule).
        rules: private folder that receives the tree's .gitignore and .gitattributes files.
        ignored: which of some paths the rules ignore.
    """

    root: int
    modes: Mapping[str, int]
    rules: Path
    ignored: Ignored
    _folders: set[str] = field(default_factory=set)
    _looked: int = 0
    _new: int = 0

    def walk(self) -> Scan:
        """Walk it all.

        Raises:
            PatchRefusedError: there is more than the bounds allow.
        """
        self._folders = {f for path in self.modes for f in _parents(path)}
        scan, level = Scan(), [""]
        for _ in range(MAX_DEPTH):
            level = self._level(level, scan)
            if not level:
                return scan
        raise PatchRefusedError(f"folders are nested deeper than {MAX_DEPTH}: {level[0]:.80}…")

    def _level(self, folders: list[str], scan: Scan) -> list[str]:
        entries = {path: info for folder in folders for path, info in self._list(folder, scan)}
        strange = [p for p in entries if p not in self.modes and p not in self._folders]
        inside = [p for p in strange if self.modes.get(p.rpartition("/")[0]) == SUBMODULE]
        dropped = self._ignored(strange, entries) if strange else set[str]()
        scan.problems += [f"{p} lies in a submodule" for p in inside if p not in dropped]
        dropped.update(inside)
        self._new += len(strange) - len(dropped)
        if self._new > MAX_NEW_FILES:
            raise PatchRefusedError(
                f"more than {MAX_NEW_FILES} new files", "add what is generated to .gitignore"
            )
        below = []
        for path, info in entries.items():
            if path in dropped:
                continue
            if stat.S_ISDIR(info.st_mode):
                below.append(path)
            else:
                self._take(path, info, scan)
        return below

    def _list(self, folder: str, scan: Scan) -> list[tuple[str, os.stat_result]]:
        prefix = f"{folder}/" if folder else ""
        try:
            with open_folder(self.root, folder) as descriptor, os.scandir(descriptor) as entries:
                found = [(e.name, e.stat(follow_symlinks=False)) for e in self._bounded(entries)]
        except OSError as error:
            scan.fail(folder, error.strerror or "unknown error")
            return []
        if folder:
            git = [prefix + name for name, _ in found if _GIT_NAME.search(name)]
            scan.nested += git
            scan.problems += [f"{path}: a repository inside the repository" for path in git]
        for name, info in found:
            if name in _RULE_FILES and stat.S_ISREG(info.st_mode) and info.st_size <= _RULE_BYTES:
                with suppress(OSError):
                    copy_out(self.root, prefix + name, self.rules)
        return [(prefix + name, i) for name, i in found if not _GIT_NAME.search(name)]

    def _bounded(self, entries: "Iterable[os.DirEntry[str]]") -> "Iterable[os.DirEntry[str]]":
        for entry in entries:
            self._looked += 1
            if self._looked > MAX_ENTRIES:
                raise PatchRefusedError(f"more than {MAX_ENTRIES} files in the workspace")
            yield entry

    def _ignored(self, paths: list[str], entries: Mapping[str, os.stat_result]) -> set[str]:
        for path in paths:
            if stat.S_ISDIR(entries[path].st_mode):  # a rule like `build/` looks whether it is one
                (self.rules / path).mkdir(parents=True, exist_ok=True)
        return self.ignored(paths)

    def _take(self, path: str, info: os.stat_result, scan: Scan) -> None:
        if self.modes.get(path) == SUBMODULE:
            scan.problems.append(f"{path} is a submodule, not a file")
            return
        if stat.S_ISLNK(info.st_mode):
            mode = LINK
        elif stat.S_ISREG(info.st_mode):
            mode = 0o100755 if info.st_mode & 0o100 else 0o100644
        else:
            return  # pipes, sockets, devices: git does not record them either
        scan.files[path] = Found(mode, info.st_size, _signature(info), info.st_ctime)


def copy_out(root: int, path: str, target: Path) -> Signature:
    """Copy a regular file of the tree to the same path below a private folder.

    Returns:
        The signature of what was copied.

    Raises:
        OSError: it cannot be read, is not a regular file any more, or is larger than the bound.
    """
    private = target / path
    with open_file(root, path) as source:
        info = os.fstat(source.fileno())
        if not stat.S_ISREG(info.st_mode):
            raise OSError(0, "not a regular file")
        content = source.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise OSError(0, f"larger than {MAX_FILE_BYTES >> 20} MB")
    private.parent.mkdir(parents=True, exist_ok=True)
    private.write_bytes(content)
    private.chmod(0o755 if info.st_mode & 0o100 else 0o644)
    return _signature(info)


def _signature(info: os.stat_result) -> Signature:
    return (info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


def _parents(path: str) -> Iterable[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
