"""All printing: one place decides about colour, width, terminals and hostile characters.

What a repository, an issue or a model wrote is cleaned before it reaches a terminal, and
styles are passed beside the text, never as markup inside it.
"""

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from evo_agent.tasks.visible import visible

if TYPE_CHECKING:
    from rich.console import Console

_DIFF_STYLES = (
    ("+++", "bold"),
    ("---", "bold"),
    ("diff ", "bold"),
    ("@@", "cyan"),
    ("+", "green"),
    ("-", "red"),
)
_ANSI = {"bold red": "1;31", "bold": "1", "dim": "2"}


def line(text: str = "", style: str = "") -> None:
    """Write one line (or several) to standard output."""
    _write(text, style, sys.stdout)


def note(text: str, style: str = "") -> None:
    """Write a line about the work, not its result: to standard error."""
    _write(text, style, sys.stderr)


def document(value: Any) -> None:
    """Write one JSON document to standard output: all that `--json` prints."""
    from evo_agent.core.types import to_json

    # ASCII only: text may hold bidi marks, C1 controls and what UTF-8 cannot encode.
    sys.stdout.write(json.dumps(to_json(value), indent=2, default=str) + "\n")
    sys.stdout.flush()


def failure(cause: str, remedy: str = "") -> None:
    """Say what went wrong and what to do about it, on standard error, without a traceback."""
    _label("error", "bold red", cause)
    if remedy:
        _label("remedy", "bold", remedy)


def heading(text: str) -> None:
    """Set a part of the output off from what is above it."""
    line()
    line(text, "bold")


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    """Write names and values in two columns; pairs with an empty value are left out."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        line(f"  {name:<{width}}  {one_line(value)}")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write rows under column names; on a terminal the last column takes the width left."""
    if not interactive(sys.stdout):
        for row in (columns, *rows):
            line("\t".join(one_line(cell) for cell in row))
        return
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, name in enumerate(columns):
        last = index == len(columns) - 1
        shown.add_column(name, no_wrap=not last, overflow="ellipsis" if not last else "fold")
    for row in rows:
        shown.add_row(*(Text(one_line(cell)) for cell in row))
    console(sys.stdout).print(shown)


def diff(patch: str) -> None:
    """Write a patch, coloured by its kind of line."""
    for text in visible(patch).rstrip("\n").split("\n"):
        style = next((style for prefix, style in _DIFF_STYLES if text.startswith(prefix)), "")
        line(text, style)


def one_line(text: str) -> str:
    """The text on a single line, cleaned, runs of blanks made one."""
    return " ".join(visible(text).split())


def shortened(text: str, width: int) -> str:
    """The text on one line of at most `width` characters."""
    flat = one_line(text)
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def interactive(stream: TextIO) -> bool:
    """Whether a person looks at the stream: a terminal that can do more than print."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def coloured(stream: TextIO) -> bool:
    """Whether to colour: an able terminal, and no NO_COLOR (https://no-color.org)."""
    return interactive(stream) and not os.environ.get("NO_COLOR")


def console(stream: TextIO) -> "Console":
    """A Rich console on the stream. Rich is imported here, when something needs it."""
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False)


def _write(text: str, style: str, stream: TextIO) -> None:
    safe = visible(text)
    if style and coloured(stream):
        from rich.text import Text

        console(stream).print(Text(safe, style), soft_wrap=True)
    else:
        stream.write(safe + "\n")
    stream.flush()


def _label(label: str, style: str, text: str) -> None:
    painted = f"\033[{_ANSI[style]}m{label}\033[0m" if coloured(sys.stderr) else label
    sys.stderr.write(f"{painted}: {one_line(text)}\n")
    sys.stderr.flush()
