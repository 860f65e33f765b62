"""Skills as folders in the repositories that they came from, kept in step with the journal."""

from collections.abc import Callable
from pathlib import Path

from evo_agent.core.errors import StoreError
from evo_agent.memory.journal.bodies import Skill
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.rows import Change, Stored
from evo_agent.memory.skills.skill_evals import FILE, evals_of, write_evals
from evo_agent.memory.skills.skills import SkillFile, write


class SkillFolders:
    """Writes SKILL.md files; the journal is the truth, and remembers where they are.

    Args:
        journal: has the skills.
        say: told, in one line, when a folder cannot be written.
    """

    def __init__(self, journal: Journal, say: Callable[[str], None]) -> None:
        self._journal = journal
        self._say = say

    def folder(self, record_id: str) -> Path | None:
        """Where a skill's SKILL.md was written."""
        written = self._journal.events(record=record_id, kind="skill-written")
        return Path(written[-1].data["folder"]) if written else None

    def write(self, record_id: str, root: Path) -> None:
        """Write a skill's folder. The journal has it: a folder that cannot be written is said."""
        stored = self._journal.get(record_id)
        assert stored is not None
        try:
            folder = write(root, skill_file(stored), self._files(stored))
        except StoreError as error:
            self._say(f"SKILL.md not written: {error.cause}")
            return
        if self.folder(record_id) != folder:
            change = Change("skill-written", record_id, {"folder": str(folder)})
            self._journal.write("skills", [change])

    def refresh(self, record_id: str) -> None:
        """Bring the state in a SKILL.md up to date, if the folder is still there."""
        folder = self.folder(record_id)
        if folder is not None and folder.is_dir():
            self.write(record_id, folder.parents[2])

    def _files(self, stored: Stored) -> dict[str, str]:
        body = stored.record.body
        assert isinstance(body, Skill)
        cases = evals_of(self._journal, stored)
        evals = {FILE: write_evals(body.name, cases)} if cases else {}
        return {**evals, **body.files}

    def show(self, record_id: str, instead: str) -> None:
        """Write a version where another one of the same skill was written, if that is there."""
        folder = self.folder(instead) or self.folder(record_id)
        if folder is not None and folder.is_dir():
            self.write(record_id, folder.parents[2])


def skill_file(stored: Stored) -> SkillFile:
    """A skill as its SKILL.md: evo's ids and state go into the metadata."""
    record = stored.record
    body = record.body
    assert isinstance(body, Skill)
    metadata = {
        "evo-id": record.id,
        "evo-state": stored.state.value,
        "evo-task": body.issue_id,
        "evo-source": " ".join(record.source_ids),
        "evo-evidence": " ".join(record.evidence_ids),
        "evo-parent": record.parent_id,
        "operators": " ".join(str(name) for name in body.facts.get("operators", ())),
    }
    return SkillFile(
        name=body.name,
        description=body.description,
        body=body.body,
        compatibility=f"Languages: {', '.join(record.tags[1:])}" if record.tags[1:] else "",
        metadata={key: value for key, value in metadata.items() if value},
    )
