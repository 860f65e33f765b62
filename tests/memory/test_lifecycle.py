"""From a verdict to what is kept: nothing without a verifier, credit only where it is due."""

import shutil
from pathlib import Path

import pytest
from tests.memory.conftest import PATCH, MakeRun

from evo_agent.core.errors import StoreError
from evo_agent.core.events import RunLog
from evo_agent.core.types import Grade, Query
from evo_agent.memory.journal.bodies import Episode
from evo_agent.memory.journal.records import State
from evo_agent.memory.lifecycle.lifecycle import NoVerdictError, WriteBack, transition, utility
from evo_agent.memory.skills.skills import read
from evo_agent.memory.store import Memory


def state(memory: Memory, record_id: str) -> tuple[str, int, int]:
    """State, uses and wins of a record."""
    stored = memory.get(record_id)
    assert stored is not None
    return stored.state.value, stored.uses, stored.wins


@pytest.mark.parametrize("event", [None, -1])
def test_without_a_verifier_event_nothing_can_be_written_back(
    memory: Memory, make_run: MakeRun, event: int | None
):
    """Agentic Robot: write-back cannot be reached without a verify event."""
    with pytest.raises(NoVerdictError, match="no verifier event") as caught:
        memory.record_run(make_run(event=event))
    assert caught.value.remedy
    assert memory.stats().records == 0


def test_the_event_is_looked_up_in_the_runs_own_log(
    memory: Memory, make_run: MakeRun, tmp_path: Path
):
    """Agentic Robot: an event's number alone does not do; the log must hold a verdict there."""
    log = RunLog.create(tmp_path / "run")
    other = log.emit("candidate", patch="x")
    verdict = log.emit("verdict", grade="proved", reason="r")
    rejected = log.emit("verdict", grade="rejected", reason="r")
    log.close()
    for event, reason in ((other, "a candidate event"), (99, "nothing"), (rejected, "rejected")):
        with pytest.raises(NoVerdictError, match=reason):
            memory.record_run(make_run(event=event, log=tmp_path / "run"))
    assert memory.stats().records == 0
    assert memory.record_run(make_run(event=verdict, log=tmp_path / "run")).episode_id


@pytest.mark.parametrize("grade", [Grade.FLAKY, Grade.INFRASTRUCTURE])
def test_runs_that_disagree_leave_nothing(memory: Memory, make_run: MakeRun, grade: Grade):
    """MoDem-V2: verifier quorum; disagreement → no write-back."""
    first = memory.record_run(make_run())
    records = memory.stats().records
    kept = memory.record_run(
        make_run("r2", task="task-2", grade=grade, cited=(first.skill_id, first.episode_id))
    )
    assert kept == WriteBack(silent=kept.silent)
    assert grade.value in kept.silent
    assert memory.stats().records == records
    assert state(memory, first.skill_id) == ("candidate", 0, 0)


@pytest.mark.parametrize("grade", [Grade.REJECTED, Grade.UNPROVED])
def test_a_failure_becomes_an_episode_and_no_skill(memory: Memory, make_run: MakeRun, grade: Grade):
    kept = memory.record_run(make_run(grade=grade))
    assert (kept.skill_id, kept.skill_name) == ("", "")
    stored = memory.get(kept.episode_id)
    assert stored is not None
    assert isinstance(stored.record.body, Episode)
    assert (stored.record.body.grade, stored.record.trust) == (grade.value, "untrusted")
    assert stored.record.body.diff == PATCH
    assert memory.skills() == []


def test_a_proved_fix_becomes_an_episode_and_a_candidate(memory: Memory, make_run: MakeRun):
    kept = memory.record_run(make_run())
    assert kept.promoted == ()
    assert kept.skill_name.startswith("fix-bitcount-never-returns-")
    (skill,) = memory.skills()
    assert (skill.record.id, skill.state, skill.record.trust) == (
        kept.skill_id, "candidate", "verified",
    )  # fmt: skip
    assert skill.record.source_ids == (kept.episode_id,)
    assert skill.record.evidence_ids == ("run:r1#7",)
    episode = memory.get(kept.episode_id)
    assert episode is not None
    assert isinstance(episode.record.body, Episode)
    assert episode.record.body.facts["operators"] == ["swap-bitwise"]
    assert episode.record.body.signature == "TimeoutError: bitcount did not return"


def test_the_same_run_is_written_once(memory: Memory, make_run: MakeRun, tmp_path: Path):
    """IDER: idempotence as reliability; a resumed run writes back what it wrote before."""
    first = memory.record_run(make_run())
    cited = make_run("r2", repo="repo-b", task="task-2", cited=(first.skill_id,))
    second = memory.record_run(cited)
    records = memory.stats().records
    shutil.rmtree(tmp_path / "repo-b" / ".evo")
    assert memory.record_run(cited) == second
    assert state(memory, first.skill_id) == ("active", 1, 1)
    assert memory.stats().records == records
    assert (tmp_path / "repo-b" / ".evo" / "skills" / second.skill_name / "SKILL.md").exists()


@pytest.mark.parametrize("cite", ["skill", "episode"])
def test_a_skill_becomes_active_when_it_helped_prove_a_different_bug(
    memory: Memory, make_run: MakeRun, cite: str
):
    first = memory.record_run(make_run())
    cited = first.skill_id if cite == "skill" else first.episode_id
    second = memory.record_run(
        make_run("r2", repo="repo-b", task="task-2", title="popcount hangs", cited=(cited[:12],))
    )
    assert second.promoted == (first.skill_name,)
    assert second.credited == (cited,)
    assert state(memory, first.skill_id)[0] == "active"
    assert state(memory, cited)[1:] == (1, 1)
    why = memory.why(first.skill_id)
    assert "candidate → validated" in why
    assert "validated → active: helped to prove a fix of a different task, task-2" in why
    assert "run:r1#7" in why
    folder = memory.skill_folder(first.skill_id)
    assert folder is not None
    assert read(folder).metadata["evo-state"] == "active"
    assert state(memory, second.skill_id)[0] == "candidate"


@pytest.mark.parametrize(
    ("task", "grade", "cite"),
    [
        ("task-1", Grade.PROVED, True),  # the bug that it came from
        ("task-2", Grade.REPRODUCED, True),  # judged by a test that the solver wrote
        ("task-2", Grade.REJECTED, True),
        ("task-2", Grade.PROVED, False),  # shown, but not used
    ],
)
def test_nothing_less_promotes_a_skill(
    memory: Memory, make_run: MakeRun, task: str, grade: Grade, *, cite: bool
):
    first = memory.record_run(make_run())
    cited = (first.skill_id,) if cite else ()
    second = memory.record_run(make_run("r2", task=task, grade=grade, cited=cited))
    assert second.promoted == ()
    assert state(memory, first.skill_id)[0] == "candidate"


def test_only_the_verdict_moves_credit_and_only_of_what_was_cited(
    memory: Memory, make_run: MakeRun
):
    first = memory.record_run(make_run())
    both = (first.skill_id, first.skill_id, "not-an-id", "f" * 64)
    memory.record_run(make_run("r2", task="task-2", grade=Grade.REJECTED, cited=both))
    memory.record_run(make_run("r3", task="task-3", grade=Grade.REPRODUCED, cited=both))
    memory.record_run(make_run("r4", task="task-1", cited=both))  # its own bug: no credit
    assert state(memory, first.skill_id) == ("candidate", 2, 1)
    assert state(memory, first.episode_id) == ("candidate", 0, 0)


def test_a_second_fix_of_a_task_is_a_new_version_of_its_skill(memory: Memory, make_run: MakeRun):
    first = memory.record_run(make_run())
    better = PATCH.replace("n &= n - 1", "n = n & (n - 1)")
    second = memory.record_run(make_run("r2", patch=better))
    assert second.skill_name == first.skill_name
    assert second.skill_id != first.skill_id
    (latest,) = memory.skills()
    assert (latest.record.id, latest.record.parent_id) == (second.skill_id, first.skill_id)
    same = memory.record_run(make_run("r3", patch=better))
    assert same.skill_id == second.skill_id


def test_a_folder_that_was_deleted_does_not_fail_the_run_that_promotes(
    memory: Memory, make_run: MakeRun, tmp_path: Path
):
    first = memory.record_run(make_run())
    shutil.rmtree(tmp_path / "repo-a")
    second = memory.record_run(
        make_run("r2", repo="repo-b", task="task-2", cited=(first.skill_id,))
    )
    assert second.promoted == (first.skill_name,)
    assert not (tmp_path / "repo-a").exists()


def test_a_link_in_the_way_of_a_skill_is_said_and_loses_nothing(tmp_path: Path, make_run: MakeRun):
    facts = make_run()
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "repo-a" / ".evo").symlink_to(outside)
    said: list[str] = []
    with Memory.open(tmp_path / "memory", notice=said.append) as memory:
        kept = memory.record_run(facts)
        assert memory.get(kept.skill_id) is not None
        assert list(outside.iterdir()) == []
        assert "symbolic link" in said[0]
        (tmp_path / "repo-a" / ".evo").unlink()
        assert memory.record_run(facts) == kept
        assert memory.skill_folder(kept.skill_id) is not None


def test_utility_is_laplaces_score():
    """EvolveR: (s+1)/(u+2), exact."""
    assert [utility(0, 0), utility(5, 2), utility(3, 3)] == [1 / 2, 3 / 7, 4 / 5]


def test_states_follow_each_other_as_designed(memory: Memory, make_run: MakeRun):
    kept = memory.record_run(make_run())
    stored = memory.get(kept.skill_id)
    assert stored is not None
    assert transition(stored, State.VALIDATED, "r", "w").data["to"] == "validated"
    with pytest.raises(StoreError, match="from candidate to active"):
        transition(stored, State.ACTIVE, "r", "w")


def test_an_active_skill_stands_before_its_candidate_twin(memory: Memory, make_run: MakeRun):
    first = memory.record_run(make_run())
    memory.record_run(make_run("r2", repo="repo-b", task="task-2", cited=(first.skill_id,)))
    text = "bitcount never returns: TimeoutError"
    found = memory.recall(Query(text, repo="repo-c", issue_id="task-3", kinds=("skill",)))
    assert [record.state for record in found] == ["active", "candidate"]
    assert "helped in 1 of 1 runs" in found[0].why


def test_a_skill_is_found_by_name_or_id_and_what_is_unknown_is_said(
    memory: Memory, make_run: MakeRun
):
    kept = memory.record_run(make_run())
    by_name, by_id = memory.skill(kept.skill_name), memory.skill(kept.skill_id[:10])
    assert by_name == by_id
    assert by_name is not None
    assert memory.skill("no-such-skill") is None
    assert memory.skill(kept.episode_id) is None
    with pytest.raises(StoreError, match="no record zzz"):
        memory.why("zzz")
