"""Reading history: one `git log` pipe, split and parsed as it arrives, in bounded memory.

The pipe is read as bytes; every commit begins with a marker that no commit can know, then the
header fields and the list of files come NUL-separated, then the patch. What is beyond
LARGEST_COMMIT is read and dropped (GitPython's walk is seven times slower).
"""

import re
import secrets
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evo_agent.core.errors import RepositoryError
from evo_agent.core.git import Repository, git_command, git_environment
from evo_agent.memory.history.patches import sectioned
from evo_agent.memory.journal.bodies import FileChange, Hunk

LARGEST_COMMIT = 1 << 20  # bytes of header, file list and patch that are kept
_CHUNK = 1 << 20
_FIELDS = 4  # sha, parents, author date, message
_SUBMODULE = b"160000"
# With git's own patterns for a language a hunk's header names the function around it, and not
# only the class; no work tree, so no .gitattributes, takes part in reading a history.
_ATTRIBUTES = b"""\
*.py diff=python
*.pyi diff=python
*.go diff=golang
*.rs diff=rust
*.java diff=java
*.rb diff=ruby
*.c diff=cpp
*.h diff=cpp
*.cc diff=cpp
*.cpp diff=cpp
*.cs diff=csharp
*.php diff=php
"""
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_LOG = (
    "log",
    *("--no-walk=unsorted", "--stdin", "--no-show-signature", "--no-color", "--no-notes"),
    *("--encoding=UTF-8", "--no-mailmap", "-p", "--raw", "-z", "--no-abbrev", "-M"),
    *(
        "--no-ext-diff",
        "--no-textconv",
        "--submodule=short",
        "--ignore-submodules=none",
        "--diff-merges=off",
        "--root",
    ),
    *("--src-prefix=a/", "--dst-prefix=b/", "--diff-algorithm=default"),
)


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as the pipe gave it.

    Attributes:
        authored: seconds since 1970.
        patch: unified diff, at most LARGEST_COMMIT bytes of it.
        cut: bytes of the commit that were dropped.
        undecodable: whether something in it was not UTF-8.
    """

    sha: str
    parents: tuple[str, ...]
    authored: int
    message: str
    files: tuple[FileChange, ...]
    hunks: tuple[Hunk, ...]
    patch: str
    cut: int = 0
    undecodable: bool = False


@dataclass(frozen=True, slots=True)
class Revisions:
    """What there is to learn: SHAs without merges, newest first, and how many merges lie between."""

    shas: tuple[str, ...]
    merges: int
    more: bool  # whether older ones were left out
    boundary: int = 0  # how many were left out because a shallow clone lacks their parents


def revisions(repository: Repository, head: str, limit: int, since: str = "") -> Revisions:
    """List the newest `limit` commits that are no merges, reachable from a SHA.

    Args:
        repository: whose.
        head: full SHA.
        limit: most commits.
        since: an ancestor of head that, with its own ancestors, is left out.

    Raises:
        RepositoryError: there is no such head, or no such ancestor.
    """
    if since and list(_lines(repository, "merge-base", head, since)) != [since]:
        raise RepositoryError(f"{since} does not come before {head}")
    boundary = _shallow_boundary(repository)
    shas: list[str] = []
    merges = left_out = 0
    order = ("rev-list", "--parents", "--topo-order")
    for line in _lines(repository, *order, head, *((f"^{since}",) if since else ()), "--"):
        sha, *parents = line.split()
        if len(parents) > 1:
            merges += 1
        elif len(shas) == limit:
            return Revisions(tuple(shas), merges, more=True, boundary=left_out)
        elif sha in boundary:
            left_out += 1
        else:
            shas.append(sha)
    return Revisions(tuple(shas), merges, more=False, boundary=left_out)


def ancestors(repository: Repository, base: str) -> frozenset[str]:
    """SHAs of the proper ancestors of a commit (itself left out); empty if it is not there."""
    if not _SHA.fullmatch(base):
        return frozenset()
    try:
        return frozenset(_lines(repository, "rev-list", base, "--")) - {base}
    except RepositoryError:
        return frozenset()


def read_commits(git: Sequence[str], shas: Sequence[str], context: int = 3) -> Iterator[Commit]:
    """Stream commits, in the order given.

    Args:
        git: the argv that a git command for the repository begins with (core.git.git_command).
        shas: full ones, of commits that are there.
        context: unchanged lines around a change that belong to its hunk.

    Raises:
        RepositoryError: git failed; what was yielded before is good.
    """
    if not shas:
        return  # git would take an empty list for HEAD
    marker = f"evo-commit-{secrets.token_hex(16)}".encode()
    layout = f"--format=%x00{marker.decode()}%x00%H%x00%P%x00%at%x00%B%x00"
    log = (*_LOG, f"-U{context}", layout)
    for data, cut in _pieces(_pipe(git, log, shas), marker + b"\0"):
        commit = _parse(data, cut)
        if commit is not None:
            yield commit


def _shallow_boundary(repository: Repository) -> frozenset[str]:
    """Commits whose parents were cut off: their diff would be the whole tree."""
    if not repository.shallow:
        return frozenset()
    try:
        return frozenset((repository.common_dir / "shallow").read_text("ascii").split())
    except (OSError, ValueError):
        return frozenset()


def _lines(repository: Repository, *arguments: str) -> Iterator[str]:
    buffer = b""
    for chunk in _pipe(git_command(repository), arguments, ()):
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            yield line.decode("ascii", "replace")


def _pipe(git: Sequence[str], arguments: Sequence[str], stdin: Sequence[str]) -> Iterator[bytes]:
    """Run git and yield its output in chunks; git never outlives the reader."""
    with (
        tempfile.TemporaryFile() as source,
        tempfile.TemporaryFile() as errors,
        tempfile.NamedTemporaryFile(suffix=".attributes") as attributes,
    ):
        source.write("".join(f"{line}\n" for line in stdin).encode())
        source.seek(0)
        attributes.write(_ATTRIBUTES)
        attributes.flush()
        process = subprocess.Popen(
            [*git, *arguments],
            env=git_environment(settings={"core.attributesFile": attributes.name}),
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,
        )
        assert process.stdout is not None
        try:
            while chunk := process.stdout.read(_CHUNK):
                yield chunk
            status = process.wait()
        finally:
            process.kill()
            process.stdout.close()
            process.wait()
        if status:
            errors.seek(0)
            said = errors.read(2000).decode("utf-8", "replace").strip().splitlines()
            raise RepositoryError(
                f"git {arguments[0]} failed: {said[-1] if said else f'status {status}'}",
                "check the repository with `git fsck`",
            )


def _pieces(chunks: Iterator[bytes], marker: bytes) -> Iterator[tuple[bytes, int]]:
    """Split a stream at a marker; of each piece at most LARGEST_COMMIT bytes are kept."""
    kept, dropped, window = bytearray(), 0, b""
    started = False
    for chunk in chunks:
        *ended, window = (window + chunk).split(marker)
        for piece in ended:
            dropped += _take(kept, piece)
            if started:
                yield bytes(kept), dropped
            kept, dropped, started = bytearray(), 0, True
        safe = max(0, len(window) - len(marker))
        dropped += _take(kept, window[:safe])
        window = window[safe:]
    dropped += _take(kept, window)
    if started:
        yield bytes(kept), dropped


def _take(kept: bytearray, data: bytes) -> int:
    room = LARGEST_COMMIT - len(kept)
    kept += data[:room]
    return max(0, len(data) - room)


def _parse(data: bytes, cut: int) -> Commit | None:
    fields = data.split(b"\0", _FIELDS)
    if len(fields) < _FIELDS:
        return None
    sha, parents, authored, message = fields[:_FIELDS]
    rest = fields[_FIELDS] if len(fields) > _FIELDS else b""  # a message of megabytes cuts it off
    files, patch = _raw_entries(rest)
    text, exact = _decoded(patch)
    said, said_exact = _decoded(message)
    changes, hunks = sectioned(files, text)
    return Commit(
        sha=sha.decode("ascii", "replace"),
        parents=tuple(parents.decode("ascii", "replace").split()),
        authored=int(authored) if authored.lstrip(b"-").isdigit() else 0,
        message=said.strip(),
        files=changes,
        hunks=hunks,
        patch=text,
        cut=cut,
        undecodable=not (exact and said_exact),
    )


def _raw_entries(data: bytes) -> tuple[list[FileChange], bytes]:
    """Parse `--raw -z`: `:modes shas status NUL path [NUL path] NUL`, then the patch."""
    files: list[FileChange] = []
    data = data.lstrip(b"\0\n")
    while data.startswith(b":"):
        head, _, data = data.partition(b"\0")
        old_mode, new_mode, *_, status = head[1:].split()
        path, _, data = data.partition(b"\0")
        old = b""
        if status[:1] in b"RC":
            old = path
            path, _, data = data.partition(b"\0")
        submodule = _SUBMODULE in (old_mode, new_mode)
        name, former = (p.decode("utf-8", "replace") for p in (path, old))
        files.append(FileChange(name, status[:1].decode(), former, submodule=submodule))
    return files, data.strip(b"\0\n")


def _decoded(data: bytes) -> tuple[str, bool]:
    """UTF-8, or else Latin-1, which takes every byte; whether it was UTF-8."""
    try:
        return data.decode("utf-8"), True
    except UnicodeDecodeError:
        return data.decode("latin-1"), False
