"""Whether changed Python files compile: evo's own Python finds suspects, the project's decides."""

import ast
import shlex
import warnings
from collections.abc import Sequence
from pathlib import Path

from evo_agent.core.protocols import Sandbox

_CHECK = """
import sys, warnings
warnings.simplefilter("ignore")
for path in sys.argv[1:]:
    try:
        with open(path, "rb") as file:
            compile(file.read(), path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        print(path, getattr(error, "lineno", None) or "?", error, sep=":")
        sys.exit(1)
"""


def unparsed(base: Path, patched: Path, changed: Sequence[str]) -> tuple[str, ...]:
    """Changed Python files that evo's own Python cannot parse, though it could at base.

    Args:
        base: the tree at base; files that do not parse there are test data.
        patched: the tree with the patch, which no sandbox has had.
        changed: paths that the patch touches.
    """
    return tuple(
        path
        for path in changed
        if path.endswith(".py") and _parses(base / path) and not _parses(patched / path)
    )


def syntax_error(sandbox: Sandbox, python: str, suspects: Sequence[str]) -> str:
    """The first syntax error, as one line; empty when the project's Python compiles them all.

    Args:
        sandbox: shows the patched tree; nothing has run in it.
        python: the interpreter there, which may be newer than evo's.
        suspects: files to compile.
    """
    files = " ".join(map(shlex.quote, suspects))
    done = sandbox.exec(f"{python} -I -c {shlex.quote(_CHECK)} {files}")
    lines = done.output.strip().splitlines()
    return f"syntax error in {lines[-1]}" if done.exit_code and lines else ""


def _parses(path: Path) -> bool:
    """Whether a file parses, or is not there."""
    if not path.is_file() or path.is_symlink():
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
