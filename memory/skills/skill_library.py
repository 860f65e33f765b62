"""Versions of skills: an edit keeps its parent, is tested, and goes back when it regresses.

Memento-Skills: a rewrite passes a unit-test gate before it counts, and one that regresses is rolled
back to the version before it. Everything is events in the journal; a version is a record, and its
id is the hash of its content.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from evo_agent.core.errors import StoreError
from evo_agent.memory.journal.bodies import Skill
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import AsOf, Record, State, Trust, make
from evo_agent.memory.journal.rows import Change, Stored, added
from evo_agent.memory.journal.states import ASLEEP, NEXT, transition
from evo_agent.memory.skills.folders import SkillFolders
from evo_agent.memory.skills.skill_evals import FILE, Eval, evals_of, write_evals
from evo_agent.memory.skills.skills import SkillFile, check

_WAY_UP = (State.CANDIDATE, State.VALIDATED, State.ACTIVE)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the tests of a version meant.

    Attributes:
        current: id of the version that counts now.
        regressed: ids of evals that its parent passed and it did not.
        rolled_back: whether it went back to its parent.
    """

    current: str
    regressed: tuple[str, ...] = ()
    rolled_back: bool = False


class SkillLibrary:
    """The skills of a journal, with their folders kept in step.

    Args:
        journal: the truth.
        folders: where SKILL.md files were written.
    """

    def __init__(self, journal: Journal, folders: SkillFolders) -> None:
        self._journal, self._folders = journal, folders

    def versions(self, skill: Stored) -> list[Stored]:
        """See `versions`."""
        return versions(self._journal, skill)

    def evals(self, skill: Stored) -> tuple[Eval, ...]:
        """See `skill_evals.evals_of`."""
        return evals_of(self._journal, skill)

    def edit(self, skill: Stored, text: SkillFile, *, by: str = "human") -> Record:
        """See `edit`; the folder, if there is one, reads the new version."""
        record = edit(self._journal, skill, text, by=by)
        self._folders.show(record.id, skill.record.id)
        return record

    def judge(self, skill: Stored, results: Mapping[str, bool], run: str) -> Judgement:
        """See `judge`; after a regression the folder reads what it read before."""
        found = judge(self._journal, skill, results, run)
        self._folders.show(found.current, skill.record.id)
        return found

    def rollback(self, skill: Stored, why: str) -> Stored:
        """See `rollback`; the folder reads what it read before."""
        found = rollback(self._journal, skill, why)
        self._folders.show(found.record.id, skill.record.id)
        return found


def versions(journal: Journal, skill: Stored) -> list[Stored]:
    """All versions of a skill, newest first."""
    return journal.skills_named(_body(skill).name, skill.record.repo)


def current(found: Iterable[Stored]) -> Stored | None:
    """Of a skill's versions, newest first, the one that counts: the newest that is not gone."""
    listed = list(found)
    return next((s for s in listed if s.state not in ASLEEP), listed[0] if listed else None)


def edit(journal: Journal, skill: Stored, text: SkillFile, *, by: str = "human") -> Record:
    """Take in an edited SKILL.md as a new version: a candidate, its parent the one that counted.

    Args:
        journal: where to.
        skill: the version that was edited.
        text: what it reads now; its metadata is evo's and is not taken over.
        by: who edited it: human | model.

    Raises:
        StoreError: it breaks the standard, has another name, changes nothing, or is what was
            rolled back before.
    """
    check(text)
    body = _body(skill)
    if text.name != body.name:
        raise StoreError(f"the skill is {body.name!r}, the edit {text.name!r}", "keep its name")
    files = {**body.files, FILE: write_evals(body.name, evals_of(journal, skill))}
    fresh = replace(body, description=text.description, body=text.body, files=files)
    if (body.description, body.body) == (text.description, text.body):
        raise StoreError(f"the edit of {body.name} changes nothing", "edit its SKILL.md first")
    record = make(
        fresh,
        repo=skill.record.repo,
        scope=skill.record.scope,
        as_of=AsOf(skill.record.as_of.commit, time.time()),
        created=time.time(),
        source_ids=skill.record.source_ids,
        evidence_ids=skill.record.evidence_ids,
        parent_id=skill.record.id,
        trust=Trust.HUMAN if by == "human" else Trust.MODEL,
        when_to_use=skill.record.when_to_use,
        tags=skill.record.tags,
    )
    known = journal.get(record.id)
    if known is not None:
        raise StoreError(
            f"this text of {body.name} was a version before ({known.state})",
            "`evo skills rollback` goes back; edit it differently otherwise",
        )
    journal.write(f"edit-{record.id[:16]}", [added(record)])
    return record


def judge(journal: Journal, skill: Stored, results: Mapping[str, bool], run: str) -> Judgement:
    """Keep what a version's evals gave, and act on it.

    Args:
        journal: where to.
        skill: the version that was tested.
        results: eval id to whether it passed (was proved).
        run: names the test run.

    Returns:
        Which version counts now: with a regression its parent, restored to what it was.
    """
    told = [
        Change("skill-eval", skill.record.id, {"eval": name, "passed": passed, "run": run})
        for name, passed in results.items()
    ]
    parent = journal.get(skill.record.parent_id) if skill.record.parent_id else None
    before = passed_evals(journal, parent) if parent is not None else {}
    regressed = tuple(name for name, ok in results.items() if not ok and before.get(name))
    if parent is not None and regressed:
        steps = list(_back(journal, skill, parent, run, f"regressed on {', '.join(regressed)}"))
        journal.write(run, [*told, *steps])
        return Judgement(parent.record.id, regressed, rolled_back=True)
    if results and all(results.values()):
        told += _accepted(skill, parent, run)
    journal.write(run, told)
    return Judgement(skill.record.id)


def rollback(journal: Journal, skill: Stored, why: str) -> Stored:
    """Go back from a version to its parent.

    Raises:
        StoreError: it has none.
    """
    parent = journal.get(skill.record.parent_id) if skill.record.parent_id else None
    if parent is None:
        raise StoreError(f"{_body(skill).name} has no earlier version", "see `evo skills versions`")
    run = f"rollback-{skill.record.id[:16]}-{time.time_ns()}"
    journal.write(run, list(_back(journal, skill, parent, run, why)))
    again = journal.get(parent.record.id)
    assert again is not None
    return again


def passed_evals(journal: Journal, skill: Stored) -> dict[str, bool]:
    """Eval id to the latest result; a skill that a verifier proved has passed its own bug."""
    body = _body(skill)
    proved = skill.record.trust is Trust.VERIFIED and body.issue_id
    found = {body.issue_id: True} if proved else {}
    for event in journal.events(record=skill.record.id, kind="skill-eval"):
        found[str(event.data["eval"])] = bool(event.data["passed"])
    return found


def _back(journal: Journal, skill: Stored, parent: Stored, run: str, why: str) -> Iterator[Change]:
    if State.QUARANTINED in NEXT[skill.state]:
        yield transition(skill, State.QUARANTINED, run, f"{why}; back to {parent.record.id[:12]}")
    if parent.state is not State.ARCHIVED:
        return  # it counts still; or it was found harmful, and stays away
    moved = journal.events(record=parent.record.id, kind="state")
    was = next(State(e.data["from"]) for e in reversed(moved) if e.data["to"] == State.ARCHIVED)
    for to in _WAY_UP[: _WAY_UP.index(was) + 1]:
        yield transition(parent, to, run, f"{skill.record.id[:12]} was rolled back")
        parent = replace(parent, state=to)


def _accepted(skill: Stored, parent: Stored | None, run: str) -> Iterator[Change]:
    if skill.state is State.CANDIDATE:
        yield transition(skill, State.VALIDATED, run, "its evals pass")
    if parent is not None and parent.state not in ASLEEP:
        yield transition(parent, State.ARCHIVED, run, f"{skill.record.id[:12]} passes its evals")


def _body(skill: Stored) -> Skill:
    body = skill.record.body
    assert isinstance(body, Skill)
    return body
