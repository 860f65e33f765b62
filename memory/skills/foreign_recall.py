"""Trusted skills of the repository among what memory answers: last, and marked as untrusted text.

To be trusted here means that the user let a skill be shown to a solver; nobody has proved it, so it
never takes the place of what a test or a person stands behind.
"""

from collections.abc import Iterable
from dataclasses import replace

from evo_agent.core.git import Repository
from evo_agent.core.types import Query, Recalled
from evo_agent.memory.journal.bodies import Kind
from evo_agent.memory.journal.records import bounded
from evo_agent.memory.journal.redact import redact
from evo_agent.memory.journal.words import terms
from evo_agent.memory.skills.foreign_skills import ForeignSkill, readable
from evo_agent.memory.skills.skill_trust import SkillTrust

MOST = 2  # in one answer
STATE = "foreign"
_LONGEST_SHOWN = 2_000  # characters, as of other records
_LEAST_SHARED = 2  # terms of its description that the query has
_LEAST_SHARE = 0.2


class ForeignRecall:
    """Adds a repository's trusted skills to answers.

    Args:
        trust: the user's acknowledgments.
    """

    def __init__(self, trust: SkillTrust | None = None) -> None:
        self._trust = trust or SkillTrust()
        self._repository: Repository | None = None
        self._read: dict[str, tuple[ForeignSkill, ...]] = {}

    def attach(self, repository: Repository) -> None:
        """Ask this repository from now on."""
        self._repository, self._read = repository, {}

    def added(self, found: tuple[Recalled, ...], query: Query) -> tuple[Recalled, ...]:
        """An answer with the near ones behind it.

        Only the skills of `query.base` itself, and only while they are trusted. A full answer gives
        up its last commits for them, and nothing that is verified.
        """
        repository = self._repository
        wanted = not query.kinds or Kind.SKILL in query.kinds
        if repository is None or not (query.base and wanted) or query.repo != repository.identity:
            return found
        if query.base not in self._read:
            self._read[query.base] = tuple(readable(repository, query.base).values())
        trusted = (s for s in self._read[query.base] if self._trust.trusts(query.repo, s.digest))
        near = nearest(query, trusted)
        kept = _with_room(found, len(near), query.limit)
        room = max(0, query.limit - _counted(kept))
        return (*kept, *_scored(near, found)[:room])


def nearest(query: Query, skills: Iterable[ForeignSkill]) -> list[Recalled]:
    """The skills whose description the query speaks of, best first, at most MOST."""
    asked = set(terms(query.text))
    rated: list[tuple[float, Recalled]] = []
    for skill in skills:
        assert skill.skill is not None
        about = set(terms(f"{skill.name} {skill.skill.description}"))
        shared = asked & about
        share = len(shared) / len(about) if about else 0.0
        if len(shared) >= _LEAST_SHARED and share >= _LEAST_SHARE:
            rated.append((share, _recalled(skill, sorted(shared))))
    rated.sort(key=lambda pair: (-pair[0], pair[1].id))
    return [record for _, record in rated[:MOST]]


def _recalled(skill: ForeignSkill, shared: list[str]) -> Recalled:
    assert skill.skill is not None
    unrun = f" It has {len(skill.scripts)} scripts, which nobody checked." if skill.scripts else ""
    text = f"{skill.skill.description}\n\n{skill.skill.body}"
    return Recalled(
        id=skill.digest,
        kind=Kind.SKILL.value,
        score=0.0,
        title=skill.name,
        text=redact(bounded(text, _LONGEST_SHOWN)),
        why=f"the repository's own skill {redact(skill.place)}; shares {', '.join(shared[:5])}.{unrun}",
        trust="untrusted",
        state=STATE,
        data={"name": skill.name, "place": redact(skill.place), "scripts": len(skill.scripts)},
    )


def _with_room(found: tuple[Recalled, ...], wanted: int, limit: int) -> tuple[Recalled, ...]:
    kept = list(found)
    for record in reversed(found):
        if _counted(kept) + wanted <= limit:
            break
        if record.trust == "untrusted" and record.kind == Kind.EPISODE:
            kept.remove(record)
    return tuple(kept)


def _counted(found: Iterable[Recalled]) -> int:
    return sum(record.kind != "place" for record in found)  # places are counted apart


def _scored(near: list[Recalled], found: tuple[Recalled, ...]) -> list[Recalled]:
    """Scores below every other's, so that sorting by score keeps them last."""
    least = min((record.score for record in found), default=1.0)
    return [replace(r, score=round(least * 0.9 / (n + 1), 4)) for n, r in enumerate(near)]
