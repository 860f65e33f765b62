"""The tools as a model sees them: names, descriptions, JSON schemas."""

from typing import Any

from evo_agent.core.chat import ToolSpec


def _spec(name: str, description: str, required: tuple[str, ...], **properties: Any) -> ToolSpec:
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return ToolSpec(name, description, parameters)


def _string(description: str) -> dict[str, str]:
    return {"type": "string", "description": description}


TOOLS: tuple[ToolSpec, ...] = (
    _spec(
        "bash",
        "Run a bash command in the sandbox, in a new shell at the repository's root. "
        "Directory and variables do not persist. There is no network.",
        ("command",),
        command=_string("the command; never an interactive one"),
    ),
    _spec(
        "edit",
        "View or edit one file. view: numbered lines. create: write a new file. "
        "str_replace: replace the one exact occurrence of `old` by `new`.",
        ("command", "path"),
        command={"type": "string", "enum": ["view", "create", "str_replace"]},
        path=_string("relative to the repository's root"),
        lines={
            "type": "array",
            "items": {"type": "integer"},
            "description": "view: [first, last], 1-based; last 0 means to the end",
        },
        content=_string("create: the whole file"),
        old=_string("str_replace: exact text, with enough lines around it to be unique"),
        new=_string("str_replace: what replaces it"),
    ),
    _spec(
        "recall",
        "Ask the project's memory (earlier fixes, lessons, skills) a question.",
        ("query",),
        query=_string("an error message, a symptom, names of functions or files"),
    ),
    _spec(
        "freeze_test",
        "Before you edit any code: write a test that fails because of the issue. It is run, must "
        "fail, and is kept as it is; it later counts as proof that the issue was reproduced.",
        ("path", "content", "test_id"),
        path=_string("a new test file, relative to the root"),
        content=_string("the whole file"),
        test_id=_string("the id to run, as the project's test runner spells it"),
    ),
    _spec(
        "submit",
        "Hand over: the working tree as it stands is verified. You cannot go on afterwards.",
        (),
        note=_string("what was wrong and what you changed, in a few sentences"),
        cited={
            "type": "array",
            "items": {"type": "string"},
            "description": "ids of recalled records that really helped; leave out the others",
        },
    ),
)
