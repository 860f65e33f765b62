"""A harmful record goes negative against the control arm, and leaves by itself."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.memory.conftest import MakeRun

from evo_agent.core.config import MemoryConfig
from evo_agent.core.errors import StoreError, UsageError
from evo_agent.core.types import Grade, Query
from evo_agent.memory.journal.bodies import Insight
from evo_agent.memory.journal.records import Record, Scope, Trust, make
from evo_agent.memory.lifecycle.credit import CONTROL, account
from evo_agent.memory.store import Memory

ASKED = Query("frobnicate fails on the empty widget list", repo="repo-a", issue_id="asking")


def advice(text: str, kind: str = "strategy", trust: Trust = Trust.HUMAN) -> Record:
    """An insight of repo-a."""
    return make(
        Insight(kind, text),
        repo="repo-a",
        scope=Scope.REPO,
        trust=trust,
        when_to_use="frobnicate fails on a widget list",
        created=1.0,
    )


HARMFUL = advice("When frobnicate fails on the empty widget list, delete the widget cache.")


def runs(memory: Memory, make_run: MakeRun, wins: str, arm: str, cited: tuple[str, ...]) -> None:
    """One run per letter, on tasks t0, t1, …; w holds, l does not."""
    for number, letter in enumerate(wins):
        grade = Grade.PROVED if letter == "w" else Grade.REJECTED
        facts = make_run(
            f"{arm}-{number}", task=f"t{number}", grade=grade, cited=cited, title=f"bug {number}"
        )
        memory.record_run(replace(facts, arm=arm))


def answers(memory: Memory) -> list[str]:
    return [found.id for found in memory.recall(ASKED)]


def test_a_planted_harmful_insight_goes_negative_and_is_quarantined(
    memory: Memory, make_run: MakeRun
):
    """Complementary RL: credit against a no-memory control arm; who harms leaves."""
    harmful = memory.upkeep.admit(HARMFUL)
    assert harmful in answers(memory)
    runs(memory, make_run, "wwwww", CONTROL, ())
    runs(memory, make_run, "llll", "memory", (harmful,))
    stored = memory.get(harmful)
    assert stored is not None
    assert (stored.state, stored.uses, stored.wins) == ("candidate", 4, 0)  # too few to tell
    assert harmful in answers(memory)
    runs(memory, make_run, "lllll", "memory", (harmful,))
    stored = memory.get(harmful)
    assert stored is not None
    credit = account(memory._journal, harmful)
    assert (credit.pairs, credit.lift, credit.base) == (5, -1.0, 1.0)
    assert (stored.state, stored.uses, stored.wins) == ("quarantined", 5, 0)
    assert harmful not in answers(memory)
    why = memory.why(harmful)
    assert "candidate → quarantined: its win rate is at most 0.43 (95% Wilson, 0 of 5)" in why
    assert "below 1.00 without memory (5 runs)" in why


def test_a_control_run_that_comes_later_turns_it_out_too(memory: Memory, make_run: MakeRun):
    harmful = memory.upkeep.admit(HARMFUL)
    runs(memory, make_run, "lllll", "memory", (harmful,))
    runs(memory, make_run, "wwww", CONTROL, ())
    assert harmful in answers(memory)
    kept = memory.record_run(replace(make_run("last", task="t4"), arm=CONTROL))
    assert kept.quarantined == (harmful,)
    assert harmful not in answers(memory)


def test_lift_below_zero_turns_out_what_the_base_rate_would_keep(memory: Memory, make_run: MakeRun):
    record = memory.upkeep.admit(HARMFUL)
    runs(memory, make_run, "wwwwl", CONTROL, ())
    runs(memory, make_run, "wwwll", "memory", (record,))
    assert "its lift is -0.20 over 5 pairs with the control arm" in memory.why(record)


def test_what_helps_as_much_as_nothing_stays(memory: Memory, make_run: MakeRun):
    record = memory.upkeep.admit(HARMFUL)
    runs(memory, make_run, "lwlwl", CONTROL, ())
    runs(memory, make_run, "lwwwl", "memory", (record,))
    stored = memory.get(record)
    assert stored is not None
    assert (stored.state, stored.uses, stored.wins) == ("candidate", 5, 3)


def test_a_control_run_credits_nothing(memory: Memory, make_run: MakeRun):
    record = memory.upkeep.admit(HARMFUL)
    kept = memory.record_run(replace(make_run("c", cited=(record,)), arm=CONTROL))
    assert kept.credited == ()
    stored = memory.get(kept.episode_id)
    assert stored is not None
    assert getattr(stored.record.body, "facts", {})["arm"] == CONTROL


def test_what_fired_by_itself_is_credited_like_what_was_cited(memory: Memory, make_run: MakeRun):
    record = memory.upkeep.admit(HARMFUL)
    kept = memory.record_run(replace(make_run("r"), triggered=(record,)))
    assert kept.credited == (record,)


@pytest.mark.parametrize(("wins", "state"), [("llwlw", "quarantined"), ("lwwlw", "candidate")])
def test_remes_rule_by_configuration(tmp_path: Path, make_run: MakeRun, wins: str, state: str):
    """ReMe: with its rule configured, after 5 uses 2 wins → quarantined, 3 wins → kept."""
    rules = MemoryConfig(quarantine=("reme",))
    with Memory.open(tmp_path / "m", rules=rules) as memory:
        record = memory.upkeep.admit(HARMFUL)
        runs(memory, make_run, wins, "memory", (record,))
        stored = memory.get(record)
        assert stored is not None
        assert stored.state == state
        assert (record in answers(memory)) == (state == "candidate")


def test_evolvers_removal_by_configuration(tmp_path: Path, make_run: MakeRun):
    """EvolveR: what scores below 0.3 is removed: 1/3 stays, 1/4 goes."""
    with Memory.open(tmp_path / "m", rules=MemoryConfig(quarantine=("evolver",))) as memory:
        record = memory.upkeep.admit(HARMFUL)
        runs(memory, make_run, "l", "memory", (record,))
        assert record in answers(memory)
        runs(memory, make_run, "ll", "memory", (record,))
        assert record not in answers(memory)


def test_an_unknown_rule_is_said_before_anything_is_written(tmp_path: Path, make_run: MakeRun):
    with Memory.open(tmp_path / "m", rules=MemoryConfig(quarantine=("remi",))) as memory:
        with pytest.raises(UsageError, match="unknown rule 'remi'"):
            memory.record_run(make_run())
        assert memory.stats().records == 0


def test_it_comes_back_only_by_an_explicit_step_and_its_account_starts_anew(
    memory: Memory, make_run: MakeRun
):
    harmful = memory.upkeep.admit(HARMFUL)
    runs(memory, make_run, "wwwww", CONTROL, ())
    runs(memory, make_run, "lllll", "memory", (harmful,))
    assert memory.upkeep.run().steps == ()
    assert harmful not in answers(memory)
    memory.upkeep.readmit(harmful, "a person looked at it")
    assert harmful in answers(memory)
    assert account(memory._journal, harmful).uses == 0
    assert memory.upkeep.run().count("quarantined") == 0
    with pytest.raises(StoreError, match="does not go from candidate"):
        memory.upkeep.readmit(harmful, "again")
    assert "quarantined → candidate: a person looked at it" in memory.why(harmful)


def test_credit_survives_a_rebuild_of_the_views(memory: Memory, make_run: MakeRun):
    harmful = memory.upkeep.admit(HARMFUL)
    runs(memory, make_run, "wwwww", CONTROL, ())
    runs(memory, make_run, "lllll", "memory", (harmful,))
    before = account(memory._journal, harmful)
    memory._journal.rebuild()
    assert account(memory._journal, harmful) == before
    stored = memory.get(harmful)
    assert stored is not None
    assert (stored.state, stored.uses) == ("quarantined", 5)
