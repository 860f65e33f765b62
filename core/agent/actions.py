"""What a model can ask for, parsed from tool calls or from text into typed actions.

Text actions, for models without tool calls: exactly one fenced block whose tag names the
action. The single ```bash block is mini-swe-agent's convention, so its prompts and its recorded
runs work unchanged; the other tags are evo's (prompts/system_text.md shows their syntax).
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evo_agent.core.agent.stops import ToolError
from evo_agent.core.chat import ToolCall


@dataclass(frozen=True, slots=True)
class Bash:
    """Run a command in the sandbox."""

    command: str


@dataclass(frozen=True, slots=True)
class View:
    """Show a file with line numbers, `first` to `last` (1-based, inclusive; 0: to the end)."""

    path: str
    first: int = 1
    last: int = 0


@dataclass(frozen=True, slots=True)
class Create:
    """Write a whole new file."""

    path: str
    content: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Replace the one occurrence of `old` in a file."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Recall:
    """Ask memory."""

    query: str


@dataclass(frozen=True, slots=True)
class Freeze:
    """Write a reproduction test and freeze it, before any code is edited."""

    path: str
    content: str
    test_id: str


@dataclass(frozen=True, slots=True)
class Submit:
    """Hand over."""

    note: str = ""
    cited: tuple[str, ...] = ()


Action = Bash | View | Create | Replace | Recall | Freeze | Submit

_BLOCK = re.compile(
    r"(?<!`)(`{3,})(bash|edit|recall|submit|freeze_test)[ \t\r]*\n(.*?)\n\1", re.DOTALL
)
_BLANK_LINES = re.compile(r"\A(?:[ \t\r]*+\n)++")
_SEARCH_REPLACE = re.compile(
    r"\A<<<<<<< SEARCH\n(.*?)\n?=======\n(.*?)\n?>>>>>>> REPLACE\s*\Z", re.DOTALL
)
_CITED = re.compile(r"^cited:\s*(.*)$", re.MULTILINE | re.IGNORECASE)


def from_tool_call(call: ToolCall) -> Action:
    """Parse a tool call.

    Raises:
        ToolError: unknown tool, arguments that are no JSON object, or missing or mistyped ones.
    """
    builder = _BUILDERS.get(call.name)
    if builder is None:
        raise ToolError(f"there is no tool {call.name!r}; the tools are {', '.join(_BUILDERS)}")
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError as error:
        raise ToolError(
            f"the arguments of {call.name} are not valid JSON ({error}); call it again"
        ) from error
    if not isinstance(arguments, dict):
        raise ToolError(f"the arguments of {call.name} must be a JSON object")
    return builder(arguments)


def from_text(content: str) -> Action:
    """Parse the one action block of a reply.

    Raises:
        ToolError: none, several, or one that cannot be understood.
    """
    blocks = _BLOCK.findall(content)
    if len(blocks) != 1:
        raise ToolError(
            f"a reply must hold EXACTLY ONE action block (```bash, or another action's tag), "
            f"found {len(blocks)}; nothing was run"
        )
    _, tag, body = blocks[0]
    return _TEXT_BUILDERS[tag](_BLANK_LINES.sub("", body))


def _text(arguments: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = arguments.get(name, default)
    if value is None:
        raise ToolError(f"the argument {name!r} is missing; call the tool again with it")
    if not isinstance(value, str):
        raise ToolError(f"the argument {name!r} must be a string")
    if "\0" in value:
        raise ToolError(f"the argument {name!r} holds a NUL byte")
    return value


def _edit(arguments: Mapping[str, Any]) -> Action:
    command, path = _text(arguments, "command"), _text(arguments, "path")
    if command == "view":
        lines = arguments.get("lines") or [1, 0]
        if not (isinstance(lines, list) and len(lines) == 2 and all(map(_is_line, lines))):  # noqa: PLR2004 - first and last
            raise ToolError("the argument 'lines' must be [first, last], whole numbers")
        return View(path, *lines)
    if command == "create":
        return Create(path, _text(arguments, "content"))
    if command == "str_replace":
        return Replace(path, _text(arguments, "old"), _text(arguments, "new"))
    raise ToolError(f"edit has no command {command!r}; use view, create or str_replace")


def _is_line(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _submit(arguments: Mapping[str, Any]) -> Submit:
    cited = arguments.get("cited") or []
    if not isinstance(cited, list):
        raise ToolError("the argument 'cited' must be a list of record ids")
    return Submit(_text(arguments, "note", ""), tuple(str(record) for record in cited))


def _edit_text(body: str) -> Action:
    first, _, rest = body.strip("\n").partition("\n")
    command, _, target = first.strip().partition(" ")
    path, _, lines = target.strip().partition(" ")
    if not path:
        raise ToolError("the first line of an edit block is COMMAND PATH, for example: view a.py")
    if command == "view":
        match = re.fullmatch(r"(\d+)-(\d+)", lines.strip()) if lines.strip() else None
        if lines.strip() and not match:
            raise ToolError("lines are written FIRST-LAST, for example: view a.py 10-40")
        return View(path, int(match[1]), int(match[2])) if match else View(path)
    if command == "create":
        return Create(path, rest + "\n" if rest else "")
    if command == "str_replace":
        whole = rest.rstrip().endswith(">>>>>>> REPLACE")  # without it, each divider is tried
        match = _SEARCH_REPLACE.match(rest) if whole else None
        if match is None:
            raise ToolError(
                "str_replace needs a line '<<<<<<< SEARCH', the old text, a line '=======', "
                "the new text, and a line '>>>>>>> REPLACE'"
            )
        return Replace(path, match[1], match[2])
    raise ToolError(f"edit has no command {command!r}; use view, create or str_replace")


def _submit_text(body: str) -> Submit:
    cited = _CITED.search(body)
    ids = tuple(re.split(r"[,\s]+", cited[1].strip())) if cited and cited[1].strip() else ()
    return Submit(_CITED.sub("", body).strip(), ids)


def _freeze_text(body: str) -> Freeze:
    first, _, content = body.strip("\n").partition("\n")
    path, _, test_id = first.strip().partition(" ")
    if not (path and test_id.strip() and content):
        raise ToolError("the first line of a freeze_test block is PATH TEST_ID, the test follows")
    return Freeze(path, content + "\n", test_id.strip())


_BUILDERS: dict[str, Callable[[Mapping[str, Any]], Action]] = {
    "bash": lambda a: Bash(_text(a, "command")),
    "edit": _edit,
    "recall": lambda a: Recall(_text(a, "query")),
    "freeze_test": lambda a: Freeze(_text(a, "path"), _text(a, "content"), _text(a, "test_id")),
    "submit": _submit,
}
_TEXT_BUILDERS: dict[str, Callable[[str], Action]] = {
    "bash": lambda body: Bash(body.strip()),
    "edit": _edit_text,
    "recall": lambda body: Recall(body.strip()),
    "freeze_test": _freeze_text,
    "submit": _submit_text,
}
