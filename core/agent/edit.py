"""The edit tool: view, create, exact replace. Every error says what to do instead."""

import difflib

from evo_agent.core.agent.actions import Create, Replace, View
from evo_agent.core.agent.stops import ToolError
from evo_agent.core.protocols import Sandbox

_VIEW_LINES = 400  # shown at most without being asked for a range again
_NEAR = 0.6  # difflib's own default cut-off for "similar"


def view(sandbox: Sandbox, action: View) -> str:
    """Show numbered lines of a file."""
    lines = _read(sandbox, action.path).splitlines()
    first = max(action.first, 1)
    last = len(lines) if action.last <= 0 else min(action.last, len(lines))
    if lines and (first > len(lines) or first > last):
        raise ToolError(f"{action.path} has {len(lines)} lines; ask for a range inside them")
    shown = lines[first - 1 : min(last, first - 1 + _VIEW_LINES)]
    text = "\n".join(f"{number:6}\t{line}" for number, line in enumerate(shown, first))
    end = first - 1 + len(shown)
    if end < last:
        text += f"\n[lines {end + 1}-{last} not shown: view them as a range]"
    return text or f"{action.path} is empty"


def create(sandbox: Sandbox, action: Create) -> str:
    """Write a new file; an existing one is not overwritten."""
    try:
        existing = sandbox.read(action.path)
    except OSError:  # not there, or nothing that can be read: writing will tell
        existing = b""
    if existing.strip():
        raise ToolError(
            f"{action.path} exists already; change it with str_replace, "
            "or remove it with bash first"
        )
    _write(sandbox, action.path, action.content)
    return f"created {action.path} ({len(action.content.splitlines())} lines)"


def replace(sandbox: Sandbox, action: Replace) -> str:
    """Replace the one occurrence of a text."""
    if not action.old:
        raise ToolError("the old text is empty; give the exact text to replace")
    if action.old == action.new:
        raise ToolError("old and new text are the same; nothing would change")
    text = _read(sandbox, action.path)
    old, new = action.old, action.new
    if old not in text and "\r\n" in text:  # models write \n; the file's line ends stay
        old, new = old.replace("\n", "\r\n"), new.replace("\n", "\r\n")
    count = text.count(old)
    if count == 0:
        raise ToolError(_not_found(text, action))
    if count > 1:
        lines = ", ".join(str(line) for line in _lines_of(text, old))
        raise ToolError(
            f"the old text occurs {count} times in {action.path} (lines {lines}); "
            "add lines around it so that it is unique"
        )
    line = _lines_of(text, old)[0]
    changed = text.replace(old, new)
    _write(sandbox, action.path, changed)
    return f"replaced at line {line} of {action.path}\n" + _around(changed, line, new)


def _read(sandbox: Sandbox, path: str) -> str:
    try:
        return sandbox.read(path).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        raise ToolError(
            f"there is no file {path}; list the folder with bash, or create it"
        ) from None
    except OSError as error:
        raise ToolError(f"{error}; use bash instead") from error


def _write(sandbox: Sandbox, path: str, text: str) -> None:
    try:
        sandbox.write(path, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise ToolError(f"{error}; choose another path, or use bash") from error


def _lines_of(text: str, part: str) -> list[int]:
    found, start = [], text.find(part)
    while start >= 0:
        found.append(text.count("\n", 0, start) + 1)
        start = text.find(part, start + len(part))
    return found


def _around(text: str, line: int, new: str) -> str:
    lines = text.splitlines()
    first, last = max(line - 3, 1), min(line + new.count("\n") + 3, len(lines))
    return "\n".join(f"{number:6}\t{lines[number - 1]}" for number in range(first, last + 1))


def _not_found(text: str, action: Replace) -> str:
    message = f"the old text is not in {action.path}; it must match exactly, with its indentation"
    wanted = next((line for line in action.old.splitlines() if line.strip()), "")
    lines = text.splitlines()
    near = difflib.get_close_matches(wanted, lines, 1, _NEAR) if len(lines) < 5000 else []  # noqa: PLR2004 - quadratic beyond
    if near:
        message += f". Line {lines.index(near[0]) + 1} is similar: {near[0]!r}"
    return message + ". View the place and copy it"
