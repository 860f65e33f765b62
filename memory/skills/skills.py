"""SKILL.md, read and written to the Agent Skills standard (agentskills.io/specification).

A folder `<repo>/.evo/skills/<name>/` with SKILL.md: YAML frontmatter (name = folder name,
description; optional license, compatibility, metadata from string to string, allowed-tools) and a
Markdown body. evo's id and state stand in `metadata`; counters stay in the journal. What goes
beyond the standard is refused, never guessed at.
"""

import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evo_agent.core.errors import StoreError
from evo_agent.memory.journal.redact import redact
from evo_agent.memory.journal.schema import translated
from evo_agent.memory.skills import frontmatter
from evo_agent.memory.skills.frontmatter import refused

FOLDER = Path(".evo") / "skills"
LONGEST_NAME = 64
LONGEST_DESCRIPTION = 1024
LONGEST_COMPATIBILITY = 500
MOST_LINES = 499  # of the body: "below 500 lines"
LARGEST_FILE = 256 * 1024
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_FILE = re.compile(r"[\w-][\w.-]*(?:/[\w-][\w.-]*){0,3}")
_FIELDS = ("name", "description", "license", "compatibility", "allowed-tools", "metadata")


@dataclass(frozen=True, slots=True)
class SkillFile:
    """What a SKILL.md holds."""

    name: str
    description: str
    body: str
    license: str = ""
    compatibility: str = ""
    allowed_tools: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


def emit(skill: SkillFile) -> str:
    """A SKILL.md as text. Every value is a double-quoted scalar, which JSON strings are.

    Raises:
        StoreError: the skill breaks the standard.
    """
    check(skill)
    pairs = {
        "name": skill.name,
        "description": _quoted(skill.description),
        "license": _quoted(skill.license) if skill.license else "",
        "compatibility": _quoted(skill.compatibility) if skill.compatibility else "",
        "allowed-tools": _quoted(skill.allowed_tools) if skill.allowed_tools else "",
    }
    lines = [f"{key}: {value}" for key, value in pairs.items() if value]
    if skill.metadata:
        lines.append("metadata:")
        lines += [f"  {key}: {_quoted(value)}" for key, value in sorted(skill.metadata.items())]
    return "\n".join(("---", *lines, "---", "", skill.body.strip(), ""))


def parse(text: str, *, left_out: Collection[str] = ()) -> SkillFile:
    """Read a SKILL.md.

    Args:
        text: of the file.
        left_out: fields beyond the standard that are passed over instead of refused.

    Raises:
        StoreError: it breaks the standard, or its frontmatter is more than texts.
        MissingDependencyError: PyYAML is not installed.
    """
    front, body = frontmatter.split(text)
    values = frontmatter.read(front)
    unknown = sorted(set(values) - {*_FIELDS, *left_out})
    if unknown:
        raise refused(f"unknown fields: {', '.join(unknown)}")
    tools = values.get("allowed-tools", "")
    skill = SkillFile(
        name=_text(values, "name"),
        description=_text(values, "description"),
        body=body,
        license=_text(values, "license"),
        compatibility=_text(values, "compatibility"),
        # The standard's list is separated by blanks; other agents' skills have YAML lists too.
        allowed_tools=" ".join(map(str, tools)) if isinstance(tools, list) else str(tools),
        metadata=_metadata(values.get("metadata", {})),
    )
    check(skill)
    return skill


def check(skill: SkillFile) -> None:
    """Hold a skill against the standard's limits.

    Raises:
        StoreError: naming the first rule that it breaks.
    """
    rules = (
        (bool(_NAME.fullmatch(skill.name)), "the name must be of a-z, 0-9 and single hyphens"),
        (len(skill.name) <= LONGEST_NAME, f"the name is longer than {LONGEST_NAME}"),
        (bool(skill.description.strip()), "there is no description"),
        (len(skill.description) <= LONGEST_DESCRIPTION, "the description is longer than 1024"),
        (len(skill.compatibility) <= LONGEST_COMPATIBILITY, "compatibility is longer than 500"),
        (skill.body.count("\n") < MOST_LINES, "the body has 500 lines or more"),
    )
    for holds, broken in rules:
        if not holds:
            raise refused(broken)


def slug(text: str, longest: int = LONGEST_NAME) -> str:
    """A text as a name: lower-case letters and digits of ASCII with single hyphens."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    name = ""
    for word in words:
        longer = f"{name}-{word}" if name else word[:longest]
        if len(longer) > longest:
            break
        name = longer
    return name or "skill"


def write(root: Path, skill: SkillFile, files: Mapping[str, str] | None = None) -> Path:
    """Write `.evo/skills/<name>/` below a repository's root; SKILL.md last, and whole.

    Raises:
        StoreError: it cannot be written, or a symbolic link stands in the way (a repository must
            not choose where evo writes).
    """
    folder = write_folder(root, FOLDER / skill.name, skill, files or {})
    ignore = root / ".evo" / ".gitignore"
    with translated(folder):
        if not ignore.is_symlink() and not ignore.exists():
            ignore.write_text("*\n", "utf-8")
    return folder


def write_folder(root: Path, place: Path, skill: SkillFile, files: Mapping[str, str]) -> Path:
    """Write a skill's folder at a place below a root.

    Args:
        root: nothing above it is looked at.
        place: relative to it; its name is the skill's.
        skill: becomes SKILL.md.
        files: further files, by path relative to the folder.

    Raises:
        StoreError: it cannot be written, a path leaves the folder, or a link stands in the way.
    """
    texts = {**files, "SKILL.md": emit(skill)}
    folder = root / place
    for name in texts:
        if not _FILE.fullmatch(name) or ".." in name:
            raise refused(f"it has a file {name!r:.80}, which is not below its folder")
        _refuse_links(root, folder / name)
    with translated(folder):
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            fresh.write_text(text, "utf-8", errors="replace")
            fresh.replace(path)
    return folder


def read(folder: Path) -> SkillFile:
    """Read a skill's folder.

    Raises:
        StoreError: there is none, it is too large or a link, or it breaks the standard.
    """
    path = folder / "SKILL.md"
    if path.is_symlink() or folder.is_symlink():
        raise refused(f"{folder} is a symbolic link")
    with translated(path):
        if path.stat().st_size > LARGEST_FILE:
            raise refused(f"{path} is larger than {LARGEST_FILE:,} bytes")
        skill = parse(path.read_text("utf-8", errors="replace"))
    if skill.name != folder.name:
        raise refused(f"its name {skill.name!r} is not its folder's, {folder.name!r}")
    return skill


def _refuse_links(root: Path, path: Path) -> None:
    here = root
    for part in path.relative_to(root).parts:
        here = here / part
        if here.is_symlink():
            raise StoreError(
                f"{here} is a symbolic link, and skills are not written through one",
                f"remove {here}",
            )


def _quoted(value: str) -> str:
    # Readers that split at `---` anywhere (skills-ref 0.1.1 does) must not be misled.
    line = " ".join(redact(value).split()).replace("---", "-")
    return json.dumps(line, ensure_ascii=False)


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name, "")
    if not isinstance(value, str):
        raise refused(f"its {name} is no text")
    return value.strip()


def _metadata(value: object, path: str = "") -> dict[str, str]:
    """Strings to strings; what others nest is flattened, their lists are joined."""
    if isinstance(value, dict):
        parts = (_metadata(v, f"{path}.{k}" if path else str(k)) for k, v in value.items())
        return {key: told for part in parts for key, told in part.items()}
    if not path and value:
        raise refused("its metadata is no mapping")
    told = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return {path: told} if path else {}
