"""Forgetting and purging what runs left: skills' folders, lessons, and a run recorded again."""

from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.errors import StoreError, UsageError
from evo_agent.memory.journal.bodies import Skill
from evo_agent.memory.journal.records import AsOf, Scope, make, pack
from evo_agent.memory.journal.rows import added
from evo_agent.memory.skills.skills import FOLDER, read
from evo_agent.memory.store import Memory

SECRET = "correct-horse-battery"


def _files(root: Path) -> bytes:
    return b"".join(f.read_bytes() for f in sorted(root.rglob("*")) if f.is_file())


def test_a_purged_run_takes_its_skill_and_its_lessons_along_and_stays_away(
    memory: Memory, make_run: Any, tmp_path: Path
):
    facts = make_run("r1", title=f"bitcount hangs on {SECRET}")
    kept = memory.record_run(facts)
    other = memory.record_run(make_run("r2", task="task-2", title="another thing"))
    assert SECRET.encode() in _files(tmp_path / "repo-a" / ".evo")
    memory.index()
    stored = memory.get(kept.episode_id)
    assert stored is not None
    packed = pack(stored.record)[20:80]
    assert packed in _files(tmp_path / "memory")
    done = memory.custody.purge(memory.custody.holding(SECRET), SECRET)
    assert {kept.episode_id, kept.skill_id} <= set(done.ids)
    assert len(done.folders) == 1
    assert SECRET.encode() not in _files(tmp_path / "repo-a")
    assert SECRET.encode() not in _files(tmp_path / "memory")
    assert packed not in _files(tmp_path / "memory")  # free pages and the log included
    lines = "\n".join(memory.custody.lines())
    assert SECRET not in lines
    assert kept.skill_name not in lines  # it is made of the title
    again = memory.record_run(facts)
    assert "purged" in again.silent
    assert memory.get(kept.episode_id) is None
    assert memory.get(other.episode_id) is not None
    assert memory.custody.verify() == ()


def test_a_skill_that_the_user_wrote_is_not_purged(memory: Memory, make_run: Any, tmp_path: Path):
    kept = memory.record_run(make_run("r1", title=f"bitcount hangs on {SECRET}"))
    own = tmp_path / "repo-a" / FOLDER / "own"
    own.mkdir(parents=True)
    (own / "SKILL.md").write_text(f"---\nname: own\ndescription: about {SECRET}\n---\n\nText\n")
    memory.custody.purge((kept.skill_id,))
    assert read(own).name == "own"
    assert memory.get(kept.skill_id) is None
    assert memory.get(kept.episode_id) is not None


def test_a_forgotten_skill_says_so_in_its_folder(memory: Memory, make_run: Any):
    kept = memory.record_run(make_run("r1"))
    assert memory.custody.forget([kept.skill_id], "by hand").ids == (kept.skill_id,)
    folder = memory.skill_folder(kept.skill_id)
    assert folder is not None
    assert read(folder).metadata["evo-state"] == "archived"
    assert memory.custody.forget([kept.skill_id], "by hand").ids == ()
    assert memory.custody.verify() == ()
    (folder / "SKILL.md").unlink()
    memory._journal.remember("root:repo-a", str(folder.parents[2]))
    assert [f.where for f in memory.custody.verify()] == [f"skill {folder.name}"]


def test_an_interrupted_purge_is_named_and_completed(memory: Memory, make_run: Any, tmp_path: Path):
    from evo_agent.memory.custody import purge

    kept = memory.record_run(make_run("r1", title=f"bitcount hangs on {SECRET}"))
    purge.bury(memory._journal, purge.with_derived(memory._journal, [kept.episode_id]), SECRET)
    assert any("interrupted" in finding.what for finding in memory.custody.verify())
    memory.custody.purge((), SECRET)
    assert memory.custody.verify() == ()
    assert SECRET.encode() not in _files(tmp_path / "memory")


def test_short_texts_and_unknown_ids_are_refused(memory: Memory):
    with pytest.raises(UsageError, match="too many"):
        memory.custody.holding("abc")
    with pytest.raises(StoreError, match="no record"):
        memory.custody.found("abcdef")


def test_evidence_that_is_nowhere_is_found(memory: Memory):
    skill = make(
        Skill("fix-x", "How x was fixed", "Text"),
        repo="r",
        scope=Scope.REPO,
        as_of=AsOf("", 1.0),
        evidence_ids=("run:gone#3",),
    )
    memory._journal.write("x", [added(skill)])
    (found,) = memory.custody.verify()
    assert "run:gone#3" in found.what
