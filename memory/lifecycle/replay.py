"""Which lessons and candidate skills stay when there are more than the cap: those nearest to the work.

After Offline Experience Replay (Gai et al., 2023): a small buffer keeps what matches the tasks at
hand. Nearness is the mean cosine with the repository's latest tasks; own wins weigh in as SPEAR's
schedule lets them (memory.lifecycle.schedule), old ones less. Nobody is deleted: the others are archived.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evo_agent.memory.journal.bodies import Kind
from evo_agent.memory.journal.records import State, Trust
from evo_agent.memory.journal.rows import Stored
from evo_agent.memory.recall.embed import Vector

LATEST_TASKS = 200


@dataclass(frozen=True, slots=True)
class Place:
    """A record that competes for a place in the buffer."""

    stored: Stored
    nearness: float
    wins: float  # its wins, old ones discounted

    @property
    def kept_first(self) -> bool:
        """What a person said or what has helped is never turned out by the cap."""
        return self.stored.record.trust is Trust.HUMAN or self.stored.state is State.ACTIVE


def competing(records: Iterable[Stored]) -> dict[tuple[str, str], list[Stored]]:
    """Those that a cap is about, by repository and kind: lessons, and skills not yet active."""
    found: dict[tuple[str, str], list[Stored]] = {}
    for stored in records:
        if stored.record.kind in (Kind.INSIGHT, Kind.SKILL):
            found.setdefault((stored.record.repo, stored.record.kind), []).append(stored)
    return found


def nearness(vector: Vector | None, tasks: Sequence[Vector]) -> float:
    """Mean cosine of a record with the tasks; 0 without any."""
    if vector is None or not tasks:
        return 0.0
    return sum(sum(a * b for a, b in zip(vector, task, strict=True)) for task in tasks) / len(tasks)


def turned_out(places: Sequence[Place], cap: int, reuse: float) -> list[Stored]:
    """The records beyond the cap, farthest last among the kept and so never among these.

    Args:
        places: of one repository and kind.
        cap: how many stay; 0 keeps all.
        reuse: weight of own wins, 0 to 1.

    Returns:
        In the order of ids; the same records always give the same ones.
    """
    if not cap or len(places) <= cap:
        return []
    order = sorted(places, key=lambda p: (not p.kept_first, -_worth(p, reuse), p.stored.record.id))
    beyond = [place.stored for place in order[cap:] if not place.kept_first]
    return sorted(beyond, key=lambda stored: stored.record.id)


def _worth(place: Place, reuse: float) -> float:
    return place.nearness + reuse * place.wins / (place.wins + 1)
