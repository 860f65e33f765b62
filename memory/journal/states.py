"""The states that a record goes through, and the events that move it.

candidate → validated → active → quarantined → archived
"""

from collections.abc import Iterator, Mapping, Sequence

from evo_agent.core.errors import StoreError
from evo_agent.memory.journal.records import State
from evo_agent.memory.journal.rows import Change, Stored

NEXT: Mapping[State, tuple[State, ...]] = {
    State.CANDIDATE: (State.VALIDATED, State.QUARANTINED, State.ARCHIVED),
    State.VALIDATED: (State.ACTIVE, State.QUARANTINED, State.ARCHIVED),
    State.ACTIVE: (State.QUARANTINED, State.ARCHIVED),
    State.QUARANTINED: (State.CANDIDATE, State.ARCHIVED),
    State.ARCHIVED: (State.CANDIDATE,),
}
ASLEEP = (State.QUARANTINED, State.ARCHIVED)  # never answers a recall


def transition(stored: Stored, to: State, run: str, why: str) -> Change:
    """The event that moves a record on.

    Raises:
        StoreError: no such step leads from its present state.
    """
    return _step(stored.record.id, stored.state, to, run, why)


def steps(
    record_id: str, start: State, path: Sequence[State], run: str, why: str
) -> Iterator[Change]:
    """Events along a path of states; those that it is past already are left out.

    Args:
        record_id: the record, which may be about to be added.
        start: the state that it is in.
        path: states to go through, each following the one before.
        run: the run that moves it.
        why: for people, in one line.
    """
    state = start
    for to in path:
        if to in NEXT[state]:
            yield _step(record_id, state, to, run, why)
            state = to


def _step(record_id: str, start: State, to: State, run: str, why: str) -> Change:
    if to not in NEXT[start]:
        raise StoreError(
            f"a record does not go from {start} to {to}",
            f"from {start} it goes to {', '.join(NEXT[start])}",
        )
    return Change("state", record_id, {"from": start, "to": to, "run": run, "why": why})
