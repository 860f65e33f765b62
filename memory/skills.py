"""SKILL.md, read and written to the Agent Skills standard (agentskills.io/specification).

A folder `<repo>/.evo/skills/<name>/` with SKILL.md: YAML frontmatter (name = folder name,
description; optional license, compatibility, metadata from string to string, allowed-tools) and a
Markdown body. evo's id and state stand in `metadata`; counters stay in the journal. Only the part
of YAML that the standard needs is read; anything cleverer is refused, never guessed at.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evo_agent.core.errors import StoreError
from evo_agent.memory.redact import redact
from evo_agent.memory.schema import translated

FOLDER = Path(".evo") / "skills"
LONGEST_NAME = 64
LONGEST_DESCRIPTION = 1024
LONGEST_COMPATIBILITY = 500
MOST_LINES = 499  # of the body: "below 500 lines"
LARGEST_FILE = 256 * 1024
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_FILE = re.compile(r"[\w-][\w.-]*(?:/[\w-][\w.-]*){0,3}")
_FIELDS = ("name", "description", "license", "compatibility", "allowed-tools", "metadata")
_KEY = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z0-9_.-]+):(?:[ ]+(?P<value>.*))?")


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


def parse(text: str) -> SkillFile:
    """Read a SKILL.md.

    Raises:
        StoreError: it breaks the standard, or its frontmatter uses more of YAML than that needs.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    if not lines or lines[0].strip() != "---" or "---" not in lines[1:]:
        raise _refused("it does not start with a frontmatter between two lines of ---")
    end = lines.index("---", 1)
    values, metadata = _frontmatter(lines[1:end])
    unknown = sorted(set(values) - set(_FIELDS))
    if unknown:
        raise _refused(f"unknown fields: {', '.join(unknown)}")
    skill = SkillFile(
        name=values.get("name", ""),
        description=values.get("description", ""),
        body="\n".join(lines[end + 1 :]).strip(),
        license=values.get("license", ""),
        compatibility=values.get("compatibility", ""),
        allowed_tools=values.get("allowed-tools", ""),
        metadata=metadata,
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
            raise _refused(broken)


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
            raise _refused(f"it has a file {name!r:.80}, which is not below its folder")
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
        raise _refused(f"{folder} is a symbolic link")
    with translated(path):
        if path.stat().st_size > LARGEST_FILE:
            raise _refused(f"{path} is larger than {LARGEST_FILE:,} bytes")
        skill = parse(path.read_text("utf-8", errors="replace"))
    if skill.name != folder.name:
        raise _refused(f"its name {skill.name!r} is not its folder's, {folder.name!r}")
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


def _frontmatter(lines: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    values: dict[str, str] = {}
    metadata: dict[str, str] = {}
    table = values
    for number, line in enumerate(lines):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _KEY.fullmatch(line.rstrip())
        if match is None or (match["indent"] and table is values):
            raise _refused(f"line {number + 2} of its frontmatter is not `key: value`")
        table = metadata if match["indent"] else values
        if match["key"] == "metadata" and not match["indent"] and not match["value"]:
            table = metadata
            continue
        if match["key"] in table:
            raise _refused(f"{match['key']} stands twice in its frontmatter")
        table[match["key"]] = _scalar(match["value"] or "")
    return values, metadata


def _scalar(value: str) -> str:
    """A plain, single-quoted or double-quoted scalar on one line."""
    try:
        if value.startswith('"'):
            return str(json.loads(value))
    except ValueError as error:
        raise _refused("a double-quoted value cannot be read") from error
    if value.startswith("'"):
        inner = value[1:-1]
        if len(value) < len("''") or not value.endswith("'") or "'" in inner.replace("''", ""):
            raise _refused("a single-quoted value cannot be read")
        return inner.replace("''", "'")
    if value[:1] in tuple("[]{}&*!|>%@`,") or ": " in value or " #" in value:
        raise _refused("its frontmatter uses more of YAML than the standard needs")
    return value


def _refused(reason: str) -> StoreError:
    return StoreError(f"a SKILL.md is refused: {reason}", "see agentskills.io/specification")
