"""Skills that a repository brings with it, for other agents: read from a commit, never obeyed.

`.agents/skills` and `.claude/skills` are anybody's text. They are read from the base commit's tree
by git (not from the work tree: that may hold the future), their scripts are never run by evo, and
they are known by the SHA-256 of everything in their folder.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from evo_agent.core.errors import EvoError
from evo_agent.core.git import GitError, Repository
from evo_agent.memory.skills.skills import LARGEST_FILE, SkillFile, parse

FOLDERS = (".agents/skills", ".claude/skills")
MOST_SKILLS = 100  # of a repository
MOST_FILES = 200  # of a skill
LARGEST = 4 << 20  # bytes of a skill
LARGEST_IN_ALL = 32 << 20
# Fields of other agents that the standard does not know. Nothing in them is obeyed either.
VENDOR_FIELDS = (
    *("agent", "argument-hint", "arguments", "author", "category", "context", "dependencies"),
    *("disable-model-invocation", "effort", "hooks", "model", "paths", "shell", "tags"),
    *("user-invocable", "version", "when_to_use"),
)
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_PARTS = 3  # .agents, skills, and the skill's name


@dataclass(frozen=True, slots=True)
class ForeignSkill:
    """A skill's folder in a commit.

    Attributes:
        name: of its folder.
        place: the folder's path from the root.
        digest: SHA-256 over paths, modes and contents; empty when they were not read.
        skill: its SKILL.md; None when it is refused.
        refused: why it is.
        scripts: files that some other agent might run.
    """

    name: str
    place: str
    digest: str = ""
    skill: SkillFile | None = None
    refused: str = ""
    scripts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    kind: str
    sha: str
    size: int
    path: str


def foreign_skills(repository: Repository, commit: str) -> tuple[ForeignSkill, ...]:
    """The skills in a commit's tree, refused ones too, by place.

    Args:
        repository: has the commit.
        commit: full SHA.

    Raises:
        GitError: git cannot read the tree.
    """
    if not _SHA.fullmatch(commit):
        return ()
    folders: dict[str, list[_Entry]] = {}
    for entry in _entries(repository, commit):
        parts = PurePosixPath(entry.path).parts
        if len(parts) > _PARTS or entry.mode == "120000":
            folders.setdefault("/".join(parts[:_PARTS]), []).append(entry)
    found: list[ForeignSkill] = []
    spent = 0
    for place, entries in sorted(folders.items()):
        spent += sum(entry.size for entry in entries)
        reason = _unread(entries, len(found), spent)
        found.append(_refused(place, reason) if reason else _skill(repository, place, entries))
    return tuple(_each_once(found))


def _entries(repository: Repository, commit: str) -> Iterator[_Entry]:
    listed = repository.view.run("ls-tree", "-r", "-z", "-l", "--full-tree", commit, "--", *FOLDERS)
    for line in listed.split(b"\0"):
        head, _, path = line.partition(b"\t")
        if not path:
            continue
        mode, kind, sha, size = head.decode("ascii", "replace").split()
        bytes_ = int(size) if size.isdigit() else 0
        yield _Entry(mode, kind, sha, bytes_, path.decode("utf-8", "surrogateescape"))


def _unread(entries: list[_Entry], before: int, spent: int) -> str:
    """Why a folder's files are not even read; empty when they are."""
    rules = (
        (before >= MOST_SKILLS, f"the repository has more than {MOST_SKILLS} skills"),
        (any(e.mode == "120000" for e in entries), "it is, or holds, a symbolic link"),
        (any(e.kind != "blob" for e in entries), "it holds a submodule"),
        (len(entries) > MOST_FILES, f"it has more than {MOST_FILES} files"),
        (sum(e.size for e in entries) > LARGEST, f"it is larger than {LARGEST:,} bytes"),
        (spent > LARGEST_IN_ALL, f"the skills together exceed {LARGEST_IN_ALL:,} bytes"),
    )
    return next((reason for breaks, reason in rules if breaks), "")


def _skill(repository: Repository, place: str, entries: list[_Entry]) -> ForeignSkill:
    contents = _contents(repository, entries)
    if len(contents) < len(entries):
        return _refused(place, "its files are not all in this clone")
    own = {entry.path.removeprefix(f"{place}/"): entry for entry in entries}
    digest = hashlib.sha256()
    for path in sorted(own):
        data = contents[own[path].path]
        head = f"{own[path].mode} {len(data)} {path}\0"
        digest.update(head.encode("utf-8", "surrogateescape") + data)
    if "SKILL.md" not in own:
        return _refused(place, "it has no SKILL.md", digest.hexdigest())
    try:
        skill = _parsed(contents[own["SKILL.md"].path], PurePosixPath(place).name)
    except EvoError as error:
        return _refused(place, error.cause, digest.hexdigest())
    scripts = tuple(
        p for p, e in sorted(own.items()) if p.startswith("scripts/") or e.mode != "100644"
    )
    return ForeignSkill(skill.name, place, digest.hexdigest(), skill, scripts=scripts)


def _contents(repository: Repository, entries: list[_Entry]) -> dict[str, bytes]:
    wanted = "".join(f"{entry.sha}\n" for entry in entries).encode()
    data = repository.view.run("cat-file", "--batch", stdin=wanted)
    found: dict[str, bytes] = {}
    for entry in entries:
        head, _, data = data.partition(b"\n")
        if head.endswith(b" missing"):
            continue
        size = int(head.rsplit(b" ", 1)[1])
        found[entry.path], data = data[:size], data[size + 1 :]
    return found


def _parsed(data: bytes, name: str) -> SkillFile:
    if len(data) > LARGEST_FILE:
        raise EvoError(f"its SKILL.md is larger than {LARGEST_FILE:,} bytes")
    skill = parse(data.decode("utf-8", "replace"), left_out=VENDOR_FIELDS)
    if skill.name != name:
        raise EvoError(f"its name {skill.name!r:.80} is not its folder's")
    return skill


def _refused(place: str, reason: str, digest: str = "") -> ForeignSkill:
    return ForeignSkill(PurePosixPath(place).name, place, digest, refused=reason)


def _each_once(found: list[ForeignSkill]) -> Iterator[ForeignSkill]:
    """The same folder for two agents is one skill."""
    seen: set[tuple[str, str]] = set()
    for skill in found:
        if not skill.digest or (skill.name, skill.digest) not in seen:
            yield skill
        seen.add((skill.name, skill.digest))


def readable(repository: Repository, commit: str) -> Mapping[str, ForeignSkill]:
    """The skills of a commit that can be read, by digest; none where git cannot read it."""
    try:
        found = foreign_skills(repository, commit)
    except GitError:
        return {}
    return {skill.digest: skill for skill in found if skill.skill is not None}
