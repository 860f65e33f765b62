"""Skills that the repository brings with it: shown with what is wrong with them, trusted on request."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evo_agent.core.errors import EvoError
from evo_agent.core.git import Repository, open_repository

if TYPE_CHECKING:
    from evo_agent.memory.skills.foreign_skills import ForeignSkill


@dataclass(frozen=True, slots=True)
class RepositorySkill:
    """A skill in `.agents/skills` or `.claude/skills` of HEAD.

    Attributes:
        id: SHA-256 of its content; empty when it was not read.
        state: untrusted (listed, never recalled) | trusted | refused.
        reason: why it is refused.
        scripts: files that another agent might run; evo runs none.
    """

    id: str
    name: str
    place: str
    state: str
    reason: str
    description: str
    scripts: tuple[str, ...]


def list_repository_skills(root: Path) -> tuple[RepositorySkill, ...]:
    """The skills of the commit that is checked out.

    Raises:
        EvoError: git cannot read it.
    """
    from evo_agent.memory.skills.skill_trust import SkillTrust  # noqa: PLC0415

    repository, trust = open_repository(root), SkillTrust()
    found = _found(repository)
    return tuple(_view(s, trusted=trust.trusts(repository.identity, s.digest)) for s in found)


def trust_skills(root: Path, names: Iterable[str], *, withdraw: bool = False) -> tuple[str, ...]:
    """Trust skills as they are now, or no more.

    Args:
        root: of the repository.
        names: their names or places; none: all that can be read.
        withdraw: take the trust back.

    Returns:
        Their places.

    Raises:
        EvoError: there is no such skill, or it is refused.
    """
    from evo_agent.memory.skills.skill_trust import SkillTrust  # noqa: PLC0415

    repository, wanted = open_repository(root), tuple(names)
    found = _found(repository)
    chosen = [skill for skill in found if skill.skill is not None and not wanted]
    for name in wanted:
        chosen += _named(found, name)
    act = SkillTrust().withdraw if withdraw else SkillTrust().acknowledge
    act(repository.identity, chosen)
    return tuple(skill.place for skill in chosen)


def _named(found: Iterable["ForeignSkill"], name: str) -> list["ForeignSkill"]:
    matching = [skill for skill in found if name in (skill.name, skill.place)]
    if not matching:
        raise EvoError(f"HEAD has no skill {name!r}", "see `evo skills list`; commit it first")
    for skill in matching:
        if skill.skill is None:
            raise EvoError(f"{skill.place} is refused: {skill.refused}", "mend it, and commit that")
    return matching


def _found(repository: Repository) -> tuple["ForeignSkill", ...]:
    from evo_agent.memory.skills.foreign_skills import foreign_skills  # noqa: PLC0415

    return foreign_skills(repository, repository.head)


def _view(skill: "ForeignSkill", *, trusted: bool) -> RepositorySkill:
    state = "refused" if skill.skill is None else "trusted" if trusted else "untrusted"
    return RepositorySkill(
        id=skill.digest,
        name=skill.name,
        place=skill.place,
        state=state,
        reason=skill.refused,
        description=skill.skill.description if skill.skill is not None else "",
        scripts=skill.scripts,
    )
