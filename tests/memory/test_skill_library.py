"""Versions of skills: edits keep their parent, evals judge them, a regression goes back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.memory.conftest import MakeRun
from tests.memory.test_skills import validate

from evo_agent.core.errors import StoreError
from evo_agent.memory.journal.bodies import Skill
from evo_agent.memory.journal.records import State
from evo_agent.memory.skills.skill_evals import Eval, read_evals, write_evals
from evo_agent.memory.skills.skill_library import passed_evals
from evo_agent.memory.skills.skills import SkillFile, read
from evo_agent.memory.store import Memory, Stored


@pytest.fixture
def skill(memory: Memory, make_run: MakeRun) -> Stored:
    """The candidate skill of a proved fix of task-1."""
    found = memory.get(memory.record_run(make_run()).skill_id)
    assert found is not None
    return found


def edited(memory: Memory, skill: Stored, words: str) -> Stored:
    folder = memory.skill_folder(skill.record.id)
    assert folder is not None
    text = read(folder)
    record = memory.library.edit(skill, replace(text, body=f"{text.body}\n\n{words}"))
    found = memory.get(record.id)
    assert found is not None
    return found


def counting(memory: Memory, skill: Stored) -> Stored:
    body = skill.record.body
    assert isinstance(body, Skill)
    found = memory.skill(body.name)
    assert found is not None
    return found


def test_a_regressing_rewrite_is_rolled_back_to_the_hash_before(
    memory: Memory, skill: Stored
) -> None:
    """Memento-Skills: a rewrite that fails what its parent passed goes back to the parent."""
    folder = memory.skill_folder(skill.record.id)
    assert folder is not None
    before = (folder / "SKILL.md").read_bytes()
    worse = edited(memory, skill, "Always return zero.")
    assert counting(memory, skill).record.id == worse.record.id != skill.record.id
    assert worse.record.parent_id == skill.record.id
    assert "Always return zero." in read(folder).body
    assert read(folder).metadata["evo-parent"] == skill.record.id
    found = memory.library.judge(worse, {"task-1": False}, "test-1")
    assert (found.rolled_back, found.regressed) == (True, ("task-1",))
    assert found.current == skill.record.id
    assert counting(memory, skill).record.id == skill.record.id
    assert (folder / "SKILL.md").read_bytes() == before
    gone = memory.get(worse.record.id)
    assert gone is not None
    assert gone.state is State.QUARANTINED
    assert "regressed on task-1; back to" in memory.why(worse.record.id)


def test_a_rewrite_that_passes_takes_its_parents_place(memory: Memory, skill: Stored) -> None:
    better = edited(memory, skill, "Look at the operator first.")
    assert not memory.library.judge(better, {"task-1": True}, "test-1").rolled_back
    assert counting(memory, skill).record.id == better.record.id
    states = [version.state for version in memory.library.versions(skill)]
    assert states == [State.VALIDATED, State.ARCHIVED]
    third = edited(memory, counting(memory, skill), "Return zero.")
    found = memory.library.judge(third, {"task-1": False}, "test-2")
    assert found.current == better.record.id
    back = memory.library.rollback(counting(memory, skill), "by hand")
    assert back.record.id == skill.record.id
    assert back.state is State.CANDIDATE, "as it was before it was archived"
    assert passed_evals(memory._journal, third) == {"task-1": False}


def test_what_no_version_passed_is_no_regression(memory: Memory, skill: Stored) -> None:
    fresh = edited(memory, skill, "More.")
    found = memory.library.judge(fresh, {"task-1": True, "task-9": False}, "test-1")
    assert not found.rolled_back
    assert counting(memory, skill).state is State.CANDIDATE


def test_a_quarantined_parent_is_not_brought_back(memory: Memory, skill: Stored) -> None:
    from evo_agent.memory.journal.states import transition

    worse = edited(memory, skill, "Worse.")
    memory._journal.write("q", [transition(skill, State.QUARANTINED, "q", "harmful")])
    memory.library.judge(worse, {"task-1": False}, "test-1")
    now = memory.get(skill.record.id)
    assert now is not None
    assert now.state is State.QUARANTINED


def test_edits_that_are_none_are_refused(memory: Memory, skill: Stored) -> None:
    folder = memory.skill_folder(skill.record.id)
    assert folder is not None
    text = read(folder)
    with pytest.raises(StoreError, match="changes nothing"):
        memory.library.edit(skill, text)
    with pytest.raises(StoreError, match="the edit 'other'"):
        memory.library.edit(skill, replace(text, name="other", body="x"))
    worse = edited(memory, skill, "Worse.")
    memory.library.judge(worse, {"task-1": False}, "test-1")
    with pytest.raises(StoreError, match="was a version before"):
        edited(memory, skill, "Worse.")
    with pytest.raises(StoreError, match="no earlier version"):
        memory.library.rollback(skill, "why not")


def test_a_skill_carries_its_bug_as_an_eval(memory: Memory, skill: Stored) -> None:
    folder = memory.skill_folder(skill.record.id)
    assert folder is not None
    assert validate(folder) == ""
    (case,) = memory.library.evals(skill)
    assert case.provable
    assert (case.id, case.tests) == ("task-1", ("tests/test_bitcount.py::test_bitcount",))
    written = json.loads((folder / "evals" / "evals.json").read_text())
    assert written["skill_name"] == folder.name
    assert written["evals"][0]["prompt"].startswith("bitcount never returns")
    assert read_evals((folder / "evals" / "evals.json").read_text()) == (case,)
    fresh = edited(memory, skill, "More.")
    assert memory.library.evals(fresh) == (case,)


def test_evals_of_others_are_read_and_nonsense_is_refused() -> None:
    text = '{"skill_name": "x", "evals": [{"id": 1, "prompt": "p", "assertions": ["a"]}]}'
    assert read_evals(text) == (Eval("1", "p"),)
    assert not read_evals(text)[0].provable
    many = write_evals("x", [Eval(str(n), "p") for n in range(51)])
    for bad in ("[", "[]", '{"evals": 3}', '{"evals": [{}]}', many, "[" * 99_999, "x" * 70_000):
        with pytest.raises(StoreError, match="refused"):
            read_evals(bad)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a/b/c/d/e", "", "a\nb"])
def test_a_file_outside_a_skills_folder_is_not_written(tmp_path: Path, name: str) -> None:
    from evo_agent.memory.skills.skills import write

    with pytest.raises(StoreError, match="not below its folder"):
        write(tmp_path, SkillFile("x", "d", "b"), {name: "text"})
    assert not (tmp_path / ".evo").exists()
