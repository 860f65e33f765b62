"""Which files and functions an answer names beside its records (see memory.code.localise)."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from evo_agent.core.errors import EvoError
from evo_agent.core.types import Query, Recalled
from evo_agent.memory.journal.redact import inert

if TYPE_CHECKING:
    from evo_agent.core.git import Repository
    from evo_agent.memory.code.localise import Place


def places(
    repository: "Repository | None", query: Query, folder: Path, say: Callable[[str], None]
) -> tuple[Recalled, ...]:
    """Files of the source at `query.base` that the text is about, at most `query.places`.

    Args:
        repository: where the base is; None: nobody knows, and nothing is named.
        query: its base and text are looked at.
        folder: memory's, where parses are kept.
        say: told, in one line, when the source cannot be read; an answer goes without it.
    """
    if repository is None or not query.places or not query.base:
        return ()
    from evo_agent.memory.code.localise import localise  # noqa: PLC0415  (numpy, tree-sitter)

    try:
        found = localise(repository, query.base, query.text, count=query.places, cache=folder)
    except EvoError as error:
        say(f"no files are named: {error.cause}")
        return ()
    return tuple(map(_recalled, found))


def _recalled(place: "Place") -> Recalled:
    path, function = _line(place.path), _line(place.function)
    name = f"{path}::{function}" if function else path
    where = f"{function}, {path}:{place.line}" if function else path
    return Recalled(
        id=name,
        kind="place",
        score=round(place.score, 4),
        title=where,
        text="",
        why=_line(place.why),
        state="current",
        paths=(path,),
        data={"function": function, "line": place.line},
    )


def _line(value: str) -> str:
    return " ".join(inert(value).split())
