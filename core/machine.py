"""The phases of a run as a fixed state machine.

Agentic Robot's plan/execute/verify protocol with Cable routing's per-stage backtracking:

    recall → plan → act → verify → record
                ↑     ↓       ↓
                plan ←┘     refine → act | record

Nothing is written back unless the log itself holds a verdict for it.
"""

from evo_agent.core.errors import EvoError
from evo_agent.core.events import RunLog, read_events
from evo_agent.core.types import Phase, Verdict, to_json

TRANSITIONS: dict[Phase | None, tuple[Phase, ...]] = {
    None: (Phase.RECALL,),
    Phase.RECALL: (Phase.PLAN,),
    Phase.PLAN: (Phase.ACT,),
    Phase.ACT: (Phase.VERIFY, Phase.PLAN),  # nothing to verify: plan anew with what was learnt
    Phase.VERIFY: (Phase.REFINE, Phase.RECORD),
    Phase.REFINE: (Phase.ACT, Phase.RECORD),
    Phase.RECORD: (),
}


class PhaseError(EvoError):
    """Code asked for a phase, or for write-back, that the protocol does not allow."""


class Machine:
    """Where a run stands. Each change of phase is an event."""

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self.phase: Phase | None = None
        self.round = 1
        self._verdict_event: int | None = None

    def enter(self, phase: Phase) -> None:
        """Go to the next phase; going back to plan or act begins a new round.

        Raises:
            PhaseError: the protocol has no such transition, or record without a verdict.
        """
        if phase not in TRANSITIONS[self.phase]:
            raise PhaseError(f"a run cannot go from {self.phase or 'the start'} to {phase}")
        if phase is Phase.RECORD and self._verdict_event is None:
            raise PhaseError("nothing was verified, so there is nothing to record")
        if self.phase is Phase.REFINE or (self.phase is Phase.ACT and phase is Phase.PLAN):
            self.round += phase is not Phase.RECORD
        self.phase = phase
        self._log.emit("phase", phase=phase, round=self.round)

    def verdict(self, verdict: Verdict) -> None:
        """Log what the verifier found; only the verify phase may.

        Raises:
            PhaseError: in any other phase.
        """
        if self.phase is not Phase.VERIFY:
            raise PhaseError(f"a verdict can only come from verify, not from {self.phase}")
        self._verdict_event = self._log.emit("verdict", round=self.round, verdict=to_json(verdict))

    def evidence(self, verdict: Verdict) -> int:
        """Number of the log's event that holds this verdict, read back from the file.

        Raises:
            PhaseError: not in the record phase, or the log does not hold it.
        """
        if self.phase is not Phase.RECORD:
            raise PhaseError(f"write-back belongs to record, not to {self.phase}")
        for event in read_events(self._log.folder):
            if event.seq == self._verdict_event and event.kind == "verdict":
                if event.data["verdict"] == to_json(verdict):
                    return event.seq
                break
        raise PhaseError("the log holds no verifier event for this verdict")
