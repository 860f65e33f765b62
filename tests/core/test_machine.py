"""The phases: only the protocol's transitions, and no write-back without a verdict."""

from pathlib import Path

import pytest

from evo_agent.core.events import RunLog, read_events
from evo_agent.core.machine import Machine, PhaseError
from evo_agent.core.types import Grade, Phase, Verdict

HOLDS = Verdict(Grade.PROVED, "it holds")


def at(log: RunLog, *phases: Phase) -> Machine:
    machine = Machine(log)
    for phase in phases:
        machine.enter(phase)
    return machine


TO_VERIFY = (Phase.RECALL, Phase.PLAN, Phase.ACT, Phase.VERIFY)


def test_write_back_cannot_be_reached_without_a_verify_event(tmp_path: Path) -> None:
    """Agentic Robot: plan/execute/verify protocol; no write-back without a verify event."""
    with RunLog.create(tmp_path / "run") as log:
        machine = at(log, *TO_VERIFY)
        with pytest.raises(PhaseError, match="nothing was verified"):
            machine.enter(Phase.RECORD)
        machine.verdict(HOLDS)
        machine.enter(Phase.RECORD)
        seq = machine.evidence(HOLDS)
    assert next(e for e in read_events(tmp_path / "run") if e.seq == seq).kind == "verdict"


def test_a_verdict_that_the_log_does_not_hold_is_not_evidence(tmp_path: Path) -> None:
    with RunLog.create(tmp_path / "run") as log:
        machine = at(log, *TO_VERIFY)
        machine.verdict(Verdict(Grade.REJECTED, "still failing"))
        machine.enter(Phase.RECORD)
        with pytest.raises(PhaseError, match="no verifier event"):
            machine.evidence(HOLDS)


@pytest.mark.parametrize("phase", [Phase.RECALL, Phase.PLAN, Phase.ACT])
def test_only_verify_can_give_a_verdict(tmp_path: Path, phase: Phase) -> None:
    with RunLog.create(tmp_path / "run") as log:
        machine = at(log, *TO_VERIFY[: TO_VERIFY.index(phase) + 1])
        with pytest.raises(PhaseError):
            machine.verdict(HOLDS)


def test_a_stage_that_fails_goes_back_one_stage_and_begins_a_new_round(tmp_path: Path) -> None:
    """Cable routing: per-stage retry and backtracking; stage 3 (act) fails → back to 2 (plan)."""
    with RunLog.create(tmp_path / "run") as log:
        machine = at(log, Phase.RECALL, Phase.PLAN, Phase.ACT)
        machine.enter(Phase.PLAN)
        assert machine.round == 2
        machine.enter(Phase.ACT)
        machine.enter(Phase.VERIFY)
        machine.enter(Phase.REFINE)
        machine.enter(Phase.ACT)
        assert machine.round == 3


@pytest.mark.parametrize(
    ("path", "forbidden"),
    [
        ((), Phase.ACT),
        ((Phase.RECALL,), Phase.ACT),
        ((Phase.RECALL, Phase.PLAN), Phase.VERIFY),
        ((Phase.RECALL, Phase.PLAN, Phase.ACT), Phase.RECORD),
        ((Phase.RECALL, Phase.PLAN, Phase.ACT), Phase.REFINE),
        (TO_VERIFY, Phase.ACT),
    ],
)
def test_no_phase_can_be_skipped(tmp_path: Path, path: tuple[Phase, ...], forbidden: Phase) -> None:
    with RunLog.create(tmp_path / "run") as log:
        machine = at(log, *path)
        with pytest.raises(PhaseError, match="cannot go from"):
            machine.enter(forbidden)
