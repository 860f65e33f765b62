"""The frontmatter of a SKILL.md: YAML, read as a tree of texts and as nothing else.

Skills of other people use block scalars, quoted texts over several lines, comments and lists, so
YAML is parsed by PyYAML; but only to its events. No object is ever constructed, every scalar stays
text (`version: 1.0` is "1.0", as the reference library's strictyaml has it), and anchors, aliases
and tags are refused, so that nothing expands or names a type.
"""

from collections.abc import Iterator
from typing import Any

from evo_agent.core.errors import MissingDependencyError, StoreError

LONGEST = 16_000  # characters of a frontmatter
DEEPEST = 5
Tree = str | dict[str, Any] | list[Any]  # of trees


def split(text: str) -> tuple[str, str]:
    """A SKILL.md as frontmatter and body.

    Raises:
        StoreError: it does not start with a frontmatter between two lines of ---.
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    fences = [number for number, line in enumerate(lines) if line.rstrip() == "---"]
    if len(fences) < 2 or fences[0]:  # noqa: PLR2004 - before and after
        raise refused("it does not start with a frontmatter between two lines of ---")
    return "\n".join(lines[1 : fences[1]]), "\n".join(lines[fences[1] + 1 :]).strip()


def read(text: str) -> dict[str, Any]:
    """A frontmatter as its mapping, all of whose leaves are texts.

    Raises:
        StoreError: it is no YAML mapping, too long or deep, or uses anchors or tags.
        MissingDependencyError: PyYAML is not installed.
    """
    if len(text) > LONGEST:
        raise refused(f"its frontmatter is longer than {LONGEST:,} characters")
    try:
        import yaml
    except ImportError as error:
        raise MissingDependencyError(
            "reading a SKILL.md needs PyYAML", "pip install 'evo-agent[memory]'"
        ) from error
    try:
        # The loader in Python alone: its errors are the same everywhere. Its events are read one
        # by one, for what is nested deep costs it quadratic time.
        tree = _document(iter(yaml.parse(text, Loader=yaml.SafeLoader)))
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 2}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "unreadable"
        raise refused(f"its frontmatter is no YAML{where}: {problem}") from error
    if not isinstance(tree, dict):
        raise refused("its frontmatter is no mapping")
    return tree


def refused(reason: str) -> StoreError:
    """The error that says why a SKILL.md is not read."""
    return StoreError(f"a SKILL.md is refused: {reason}", "see agentskills.io/specification")


def _document(events: Iterator[Any]) -> Tree:
    found: Tree = ""
    documents = 0
    for event in events:
        kind = type(event).__name__
        if kind == "DocumentStartEvent":
            documents += 1
        elif kind not in ("StreamStartEvent", "StreamEndEvent", "DocumentEndEvent"):
            found = _node(event, events, 0)
    if documents != 1:
        raise refused("its frontmatter is not one YAML document")
    return found


def _node(event: Any, events: Iterator[Any], depth: int) -> Tree:
    kind = type(event).__name__
    if kind == "AliasEvent" or event.anchor is not None or event.tag is not None:
        raise refused("its frontmatter uses more of YAML than texts, lists and mappings")
    if depth > DEEPEST:
        raise refused(f"its frontmatter is nested more than {DEEPEST} deep")
    if kind == "ScalarEvent":
        return str(event.value)
    if kind == "SequenceStartEvent":
        return list(_until("SequenceEndEvent", events, depth))
    return _mapping(events, depth)


def _mapping(events: Iterator[Any], depth: int) -> dict[str, Any]:
    parts = list(_until("MappingEndEvent", events, depth))
    found: dict[str, Any] = {}
    for key, value in zip(parts[::2], parts[1::2], strict=True):
        if not isinstance(key, str):
            raise refused("a key of its frontmatter is no text")
        if key in found:
            raise refused(f"{key} stands twice in its frontmatter")
        found[key] = value
    return found


def _until(end: str, events: Iterator[Any], depth: int) -> Iterator[Tree]:
    for event in events:
        if type(event).__name__ == end:
            return
        yield _node(event, events, depth + 1)
