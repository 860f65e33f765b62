"""Whether changed Python files compile, asked of the project's own interpreter."""

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


def syntax_error(sandbox: Sandbox, python: str, base: Path, changed: Sequence[str]) -> str:
    """The first syntax error that a change brings, as one line; empty when there is none.

    Args:
        sandbox: shows the patched tree, which nothing has run in.
        python: the interpreter there.
        base: the tree at base; files that do not parse there (test data) are left out.
        changed: paths that the patch touches.
    """
    files = [path for path in changed if path.endswith(".py") and _parses(base / path)]
    if not files:
        return ""
    present = " ".join(map(shlex.quote, files))
    done = sandbox.exec(
        f'for f in {present}; do [ -f "$f" ] && printf "%s\\0" "$f"; done | '
        f"xargs -0 -r {python} -I -c {shlex.quote(_CHECK)}"
    )
    lines = done.output.strip().splitlines()
    return f"syntax error in {lines[-1]}" if done.exit_code and lines else ""


def _parses(path: Path) -> bool:
    """Whether a file at base parses, or is not there yet."""
    if not path.is_file() or path.is_symlink():
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
