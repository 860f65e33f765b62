"""A git diff, file by file."""

import re

_FILE = re.compile(r"^(?=diff --git )", re.MULTILINE)  # hunk lines start with ' ', '+', '-', '\'


def by_file(diff: str) -> dict[str, str]:
    """Split a git diff (without renames) into path → its part, in order.

    Paths that git quotes stay quoted, so that equal paths of two diffs compare equal.
    """
    parts = [part for part in _FILE.split(diff) if part.startswith("diff --git ")]
    return {_path(part.partition("\n")[0].removeprefix("diff --git ")): part for part in parts}


def limited(diff: str, paths: frozenset[str]) -> tuple[str, tuple[str, ...]]:
    """Keep only some files of a diff.

    Returns:
        The parts of these paths, and the paths that were left out.
    """
    parts = by_file(diff)
    kept = "".join(part for path, part in parts.items() if path in paths)
    return kept, tuple(path for path in parts if path not in paths)


def _path(names: str) -> str:
    """Path in "a/PATH b/PATH": both halves are the same, so spaces in PATH do no harm."""
    half = names[: len(names) // 2]
    return '"' + half[3:] if half.startswith('"a/') else half.removeprefix("a/")
