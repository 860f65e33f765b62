"""Recording a hostile tree in an index, by letting git read private copies of what changed."""

import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from evo_agent.core.errors import PatchRefusedError
from evo_agent.core.git import GitDir, GitError
from evo_agent.sandboxes.folders import open_file, read_link
from evo_agent.sandboxes.scan import (
    LINK,
    MAX_FILE_BYTES,
    SUBMODULE,
    Found,
    Scan,
    Signature,
    Walker,
    copy_out,
)

SETTLED = 0.2  # seconds; what changed later than this before a walk is read again next time
MAX_CHANGED_BYTES = 500 * 2**20
_CHUNK = 2**20


@dataclass(slots=True)
class Recorder:
    """Brings an index up to date with a tree.

    Attributes:
        shadow: the host's git folder, with `private` as its work tree.
        private: empty folder; receives .gitignore files and copies of what changed.
        root: descriptor of the tree.
        modes: what git tracks at base.
        seen: path to signature and blob, for files known to be as the index has them; kept
            from one recording to the next.
    """

    shadow: GitDir
    private: Path
    root: int
    modes: dict[str, int]
    seen: dict[str, tuple[Signature, str]]

    def record(self) -> Scan:
        """Do it; what cannot be read stays in the index as it was.

        Raises:
            PatchRefusedError: the tree is beyond the bounds of a walk or of what may change.
        """
        started = time.time()
        scan = Walker(self.root, self.modes, self.private, self._ignored).walk()
        index = self._index()
        changed = [p for p, f in scan.files.items() if not self._same(p, f, index.get(p))]
        changed = self._without_huge(changed, scan)
        gone = [p for p, (mode, _) in index.items() if mode != SUBMODULE and p not in scan.files]
        gone = [path for path in gone if scan.knows(path)]
        if gone or changed:
            self._update(scan, gone, changed)
            index = self._index()
        self._remember(scan, index, started)
        return scan

    def _without_huge(self, changed: list[str], scan: Scan) -> list[str]:
        kept = [p for p in changed if scan.files[p].size <= MAX_FILE_BYTES]
        if sum(scan.files[p].size for p in kept) > MAX_CHANGED_BYTES:
            raise PatchRefusedError(
                f"more than {MAX_CHANGED_BYTES >> 20} MB of changes",
                "add what is generated to .gitignore",
            )
        for path in set(changed) - set(kept):
            scan.fail(path, f"larger than {MAX_FILE_BYTES >> 20} MB")
        return kept

    def _same(self, path: str, found: Found, indexed: tuple[int, str] | None) -> bool:
        if indexed is None or indexed[0] != found.mode:
            return False
        if self.seen.get(path) == (found.signature, indexed[1]):
            return True
        try:
            return self._hash(path, found, indexed[1]) == indexed[1]
        except OSError:
            return False

    def _hash(self, path: str, found: Found, blob: str) -> str:
        """The id that git gives to these bytes, unless they are too many to be those."""
        kind = hashlib.sha1 if len(blob) == 40 else hashlib.sha256  # noqa: PLR2004 hex digits
        if found.mode == LINK:
            target = read_link(self.root, path)
            return kind(b"blob %d\0%b" % (len(target), target)).hexdigest()
        if (
            found.size > MAX_FILE_BYTES
            and int(self.shadow.text("cat-file", "-s", blob)) != found.size
        ):
            return ""
        digest, left = kind(b"blob %d\0" % found.size), found.size
        with open_file(self.root, path) as file:
            while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                digest.update(chunk)
                left -= len(chunk)
        return digest.hexdigest()

    def _update(self, scan: Scan, gone: list[str], changed: list[str]) -> None:
        links = [p for p in changed if scan.files[p].mode == LINK]
        lines = [line for p in links if (line := self._link(p, scan))]
        files = [p for p in changed if scan.files[p].mode != LINK and self._copied(p, scan)]
        update = ("update-index", "-z", "--add", "--replace")
        if gone:
            self.shadow.run(
                "update-index", "-z", "--force-remove", "--stdin", stdin=join_paths(gone)
            )
        if lines:
            self.shadow.run(*update, "--index-info", stdin=b"".join(lines))
        if files:
            self.shadow.run(*update, "--stdin", stdin=join_paths(files))

    def _link(self, path: str, scan: Scan) -> bytes:
        try:
            target = read_link(self.root, path)
        except OSError as error:
            scan.fail(path, error.strerror or "unknown error")
            return b""
        blob = self.shadow.text("hash-object", "-w", "--stdin", stdin=target)
        return f"120000 {blob}\t".encode() + os.fsencode(path) + b"\0"

    def _copied(self, path: str, scan: Scan) -> bool:
        try:
            signature = copy_out(self.root, path, self.private)
        except OSError as error:
            scan.fail(path, error.strerror or "unknown error")
            return False
        if signature != scan.files[path].signature:
            self.seen.pop(path, None)
            del scan.files[path]  # it changed under our eyes: recorded, not remembered
        return True

    def _remember(self, scan: Scan, index: dict[str, tuple[int, str]], started: float) -> None:
        settled = {p: f for p, f in scan.files.items() if f.changed < started - SETTLED}
        self.seen.clear()
        self.seen.update(
            {
                p: (f.signature, index[p][1])
                for p, f in settled.items()
                if p in index and scan.knows(p)
            }
        )

    def _index(self) -> dict[str, tuple[int, str]]:
        return entries(self.shadow.run("ls-files", "-s", "-z"))

    def _ignored(self, paths: Iterable[str]) -> set[str]:
        """Ask git about names, with an empty index and only the copied rules to read."""
        # "./" keeps a name like ":(top)" from being read as pathspec magic.
        asked = join_paths(f"./{path}" for path in paths)
        options = ("check-ignore", "-z", "--stdin", "--no-index")
        try:
            answer = self.shadow.run(*options, stdin=asked)
        except GitError as error:
            if error.status == 1:  # none is ignored
                return set()
            raise
        return {os.fsdecode(path)[2:] for path in answer.split(b"\0") if path}


def entries(listed: bytes) -> dict[str, tuple[int, str]]:
    """Path to mode and object, from `ls-files -s -z` or `ls-tree -r -z`."""
    lines = (line.partition(b"\t") for line in listed.split(b"\0") if line)
    return {os.fsdecode(path): _mode_and_object(meta.decode()) for meta, _, path in lines}


def _mode_and_object(meta: str) -> tuple[int, str]:
    mode, *rest = meta.split(" ")
    return int(mode, 8), next(word for word in rest if len(word) >= 40)  # noqa: PLR2004 hex digits


def join_paths(paths: Iterable[str]) -> bytes:
    """Paths as git's -z --stdin takes them."""
    return b"".join(os.fsencode(path) + b"\0" for path in paths)
